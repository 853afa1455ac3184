"""What the operator asks for: the tilt series, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["precession", "continuous", "stills", "serial"]  # stills: one crystal, tilted; serial: one still each


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFrame:
    """One exposure. Stepwise modes have equal start and end angles."""

    index: int
    alpha_start_deg: float
    alpha_end_deg: float
    exposure_s: float

    @property
    def alpha_mid_deg(self) -> float:
        return 0.5 * (self.alpha_start_deg + self.alpha_end_deg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A tilt series: ``frame_count`` frames from ``start_deg`` in steps of ``step_deg`` (signed).

    Mode "serial": as many stills, each of a particle that lies as it happens to lie, with the stage at ``start_deg``;
    ``step_deg`` is 0.
    """

    mode: Mode
    start_deg: float
    step_deg: float
    frame_count: int
    exposure_s: float
    precession_deg: float = 0.0  # semi-angle, 0 without precession

    def frames(self) -> tuple[PlannedFrame, ...]:
        sweep = self.step_deg if self.mode == "continuous" else 0.0
        return tuple(
            PlannedFrame(
                index=i,
                alpha_start_deg=self.start_deg + i * self.step_deg,
                alpha_end_deg=self.start_deg + i * self.step_deg + sweep,
                exposure_s=self.exposure_s,
            )
            for i in range(self.frame_count)
        )
