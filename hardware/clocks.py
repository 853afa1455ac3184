"""Clocks: the real one, and one that only counts."""

from __future__ import annotations

import time
from dataclasses import dataclass


class SystemClock:
    """Monotonic time of the computer."""

    def now_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float, /) -> None:
        time.sleep(max(seconds, 0.0))


@dataclass(kw_only=True)
class VirtualClock:
    """Time that passes only when somebody sleeps."""

    time_s: float = 0.0

    def now_s(self) -> float:
        return self.time_s

    def sleep(self, seconds: float, /) -> None:
        self.time_s += max(seconds, 0.0)
