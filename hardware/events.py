"""What happened during an acquisition, in one schema for every microscope, real, virtual or replayed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hardware.protocols import Clock

Kind = Literal[
    "begin", "move", "rotate", "precession", "particle", "unblank", "blank", "frame", "retry", "fault", "end"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened, ``time_s`` after the start. Fields that do not apply are None."""

    time_s: float
    kind: Kind
    frame: int | None = None
    alpha_deg: float | None = None
    value: float | None = None  # speed in deg/s of move and rotate, semi-angle in degrees of precession
    text: str = ""


@dataclass(kw_only=True)
class EventLog:
    """Collects events with the time of a clock since the log was made."""

    clock: Clock
    events: list[Event] = field(default_factory=list)
    start_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.start_s = self.clock.now_s()

    def elapsed_s(self) -> float:
        return self.clock.now_s() - self.start_s

    def add(
        self,
        kind: Kind,
        *,
        frame: int | None = None,
        alpha_deg: float | None = None,
        value: float | None = None,
        text: str = "",
    ) -> None:
        self.events.append(
            Event(time_s=self.elapsed_s(), kind=kind, frame=frame, alpha_deg=alpha_deg, value=value, text=text)
        )
