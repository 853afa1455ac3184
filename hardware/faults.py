"""Faults on order: the n-th call of an operation fails, so that procedures can be tested against bad days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hardware.errors import ConnectionLost, FrameLate

Operation = Literal[
    "goniometer.move_to",
    "goniometer.start_rotation",
    "goniometer.alpha_deg",
    "beam.blank",
    "beam.unblank",
    "precession.set_semi_angle",
    "navigator.go_to",
    "detector.start",
    "detector.read",
]
Effect = Literal["connection lost", "late frame", "stuck", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """From call number ``call`` (0 is the first) on, ``times`` calls of ``operation`` go wrong.

    "stuck" makes a command do nothing and say nothing; "interrupted" is the operator's Ctrl-C at that moment.
    """

    operation: Operation
    effect: Effect
    call: int = 0
    times: int = 1


class FaultPlan:
    """Counts calls and fails the ordered ones."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults = tuple(faults)
        self._calls: Counter[str] = Counter()

    def stuck(self, operation: Operation) -> bool:
        """Whether this call shall do nothing; raises when it shall fail loudly."""
        call = self._calls[operation]
        self._calls[operation] += 1
        for fault in self._faults:
            if fault.operation == operation and fault.call <= call < fault.call + fault.times:
                if fault.effect == "connection lost":
                    raise ConnectionLost(f"no answer to {operation} (call {call})")
                if fault.effect == "late frame":
                    raise FrameLate(f"no frame in time from {operation} (call {call})")
                if fault.effect == "interrupted":
                    raise KeyboardInterrupt
                return True
        return False
