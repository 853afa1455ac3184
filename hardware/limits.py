"""Limits of stage, optics and dose. A whole plan is checked before the first move, and every command again."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hardware.errors import LimitError
from hardware.protocols import Goniometer
from twin.model.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is allowed. The fluence is that of the whole series at the specimen."""

    tilt_min_deg: float = -75.0
    tilt_max_deg: float = 75.0
    step_max_deg: float = 10.0
    speed_max_deg_s: float = 10.0
    exposure_min_s: float = 1e-4
    exposure_max_s: float = 600.0
    precession_max_deg: float = 3.0
    frames_max: int = 10_000
    fluence_max_e_per_angstrom2: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeUp:
    """How backlash is taken up: the stage comes from ``steps`` × ``step_deg`` before, in the direction of the series.

    Three steps of one degree are an operating habit (instamatic), not a measurement.
    """

    steps: int = 3
    step_deg: float = 1.0

    @property
    def run_up_deg(self) -> float:
        return self.steps * self.step_deg


def within(name: str, value: float, low: float, high: float) -> None:
    """Raise :class:`LimitError` unless low ≤ value ≤ high and the value is a number."""
    if not low <= value <= high:  # also refuses NaN
        raise LimitError(f"{name} is {value:g}; allowed is {low:g} to {high:g}")


def check_plan(plan: Plan, *, limits: Limits, take_up: TakeUp, flux_e_per_angstrom2_s: float) -> None:
    """Refuse a plan that would at any moment leave the limits, run-up for the backlash included."""
    within("frame_count", plan.frame_count, 1, limits.frames_max)
    within("exposure_s", plan.exposure_s, limits.exposure_min_s, limits.exposure_max_s)
    within("precession_deg", plan.precession_deg, 0.0, limits.precession_max_deg)
    within("step_deg (its size)", abs(plan.step_deg), 0.0, limits.step_max_deg)
    if plan.mode == "continuous":
        if plan.step_deg == 0:
            raise LimitError("step_deg is 0; a continuous rotation needs a step")
        within("rotation speed in deg/s", sweep_speed_deg_s(plan), 0.0, limits.speed_max_deg_s)
    frames = plan.frames()
    ends = (run_up_start_deg(plan, frames[0].alpha_start_deg, take_up=take_up), frames[0].alpha_start_deg)
    for alpha_deg in (*ends, frames[-1].alpha_end_deg):
        within("tilt in degrees (run-up included)", alpha_deg, limits.tilt_min_deg, limits.tilt_max_deg)
    exposures = 1 if plan.mode == "serial" else plan.frame_count  # of one particle
    fluence = exposures * plan.exposure_s * flux_e_per_angstrom2_s
    within("fluence in e/Å²", fluence, 0.0, limits.fluence_max_e_per_angstrom2)


def sweep_speed_deg_s(plan: Plan) -> float:
    """Speed of a continuous rotation: one step in one exposure."""
    return abs(plan.step_deg) / plan.exposure_s


def run_up_start_deg(plan: Plan, alpha_deg: float, *, take_up: TakeUp) -> float:
    """Where the stage must come from so that at ``alpha_deg`` its play is taken up."""
    return alpha_deg - math.copysign(take_up.run_up_deg, plan.step_deg)


class GuardedGoniometer:
    """A goniometer behind its limits: what is beyond them never reaches the stage."""

    def __init__(self, goniometer: Goniometer, *, limits: Limits) -> None:
        self._goniometer = goniometer
        self._limits = limits

    def alpha_deg(self) -> float:
        return self._goniometer.alpha_deg()

    def move_to(self, alpha_deg: float, *, speed_deg_s: float) -> None:
        self._check(alpha_deg, speed_deg_s)
        self._goniometer.move_to(alpha_deg, speed_deg_s=speed_deg_s)

    def start_rotation(self, to_deg: float, *, speed_deg_s: float) -> None:
        self._check(to_deg, speed_deg_s)
        self._goniometer.start_rotation(to_deg, speed_deg_s=speed_deg_s)

    def stop(self) -> None:
        self._goniometer.stop()

    def _check(self, alpha_deg: float, speed_deg_s: float) -> None:
        within("tilt in degrees", alpha_deg, self._limits.tilt_min_deg, self._limits.tilt_max_deg)
        within("speed in deg/s", speed_deg_s, 1e-6, self._limits.speed_max_deg_s)
