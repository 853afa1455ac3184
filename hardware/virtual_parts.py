"""Parts of a microscope that exists only in the computer: stage with play, blanker, precession, detector timing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hardware.errors import DeviceError, StageError
from hardware.faults import FaultPlan
from hardware.protocols import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class StageModel:
    """Mechanics of the stage. ``backlash_deg``: play between motor and specimen; no published value, an assumption.

    The encoder sits on the motor side and was calibrated while turning towards ``calibrated_direction`` (+1 or -1):
    after a move in that direction the specimen is where the encoder says, after one against it, off by the play.
    """

    backlash_deg: float = 0.1
    calibrated_direction: int = 1
    hard_limit_deg: float = 80.0
    speed_max_deg_s: float = 10.0
    start_deg: float = 0.0


class VirtualStage:
    """A goniometer whose position follows from a clock."""

    def __init__(self, *, model: StageModel, clock: Clock, faults: FaultPlan) -> None:
        self._model, self._clock, self._faults = model, clock, faults
        self._from_deg = self._to_deg = self._specimen_deg = model.start_deg
        self._speed_deg_s, self._begin_s = 1.0, clock.now_s()
        self.extremes_deg = (model.start_deg, model.start_deg)

    def alpha_deg(self) -> float:
        self._faults.stuck("goniometer.alpha_deg")
        return self.motor_deg(self._clock.now_s())

    def move_to(self, alpha_deg: float, *, speed_deg_s: float) -> None:
        if self._faults.stuck("goniometer.move_to"):
            return
        self._begin(alpha_deg, speed_deg_s)
        self._clock.sleep(abs(self._to_deg - self._from_deg) / speed_deg_s)
        self._from_deg, self._begin_s = alpha_deg, self._clock.now_s()
        self._follow()

    def start_rotation(self, to_deg: float, *, speed_deg_s: float) -> None:
        if not self._faults.stuck("goniometer.start_rotation"):
            self._begin(to_deg, speed_deg_s)

    def stop(self) -> None:
        self._follow()
        self._from_deg = self._to_deg = self.motor_deg(self._clock.now_s())

    def motor_deg(self, time_s: float) -> float:
        """Encoder reading at a time since the last command."""
        way = self._to_deg - self._from_deg
        gone = min(abs(way), max(time_s - self._begin_s, 0.0) * self._speed_deg_s)
        return self._to_deg if gone == abs(way) else self._from_deg + math.copysign(gone, way)

    def specimen_deg(self, time_s: float) -> float:
        """Where the specimen really is: dragged by the motor within the play. Ask in the order of time."""
        motor, play = self.motor_deg(time_s), self._model.backlash_deg
        low, high = (motor, motor + play) if self._model.calibrated_direction > 0 else (motor - play, motor)
        self._specimen_deg = min(max(self._specimen_deg, low), high)
        return self._specimen_deg

    def _begin(self, to_deg: float, speed_deg_s: float) -> None:
        if not abs(to_deg) <= self._model.hard_limit_deg:
            raise StageError(f"the stage refuses {to_deg:g}°: its hard limit is ±{self._model.hard_limit_deg:g}°")
        if not 0 < speed_deg_s <= self._model.speed_max_deg_s:
            fastest = self._model.speed_max_deg_s
            raise StageError(f"the stage refuses {speed_deg_s:g}°/s; it can do up to {fastest:g}°/s")
        self._follow()
        self._from_deg, self._to_deg = self.motor_deg(self._clock.now_s()), to_deg
        self._speed_deg_s, self._begin_s = speed_deg_s, self._clock.now_s()

    def _follow(self) -> None:
        now = self._clock.now_s()
        self.specimen_deg(now)
        low, high = self.extremes_deg
        self.extremes_deg = (min(low, self.motor_deg(now)), max(high, self.motor_deg(now)))


class VirtualBeam:
    """A blanker that counts how long it was open; blanked when the microscope is switched on."""

    def __init__(self, *, clock: Clock, faults: FaultPlan) -> None:
        self._clock, self._faults = clock, faults
        self._blanked, self._opened_s, self.open_s = True, 0.0, 0.0

    def blank(self) -> None:
        if self._faults.stuck("beam.blank") or self._blanked:
            return
        self._blanked = True
        self.open_s += self._clock.now_s() - self._opened_s

    def unblank(self) -> None:
        if self._faults.stuck("beam.unblank") or not self._blanked:
            return
        self._blanked, self._opened_s = False, self._clock.now_s()

    def is_blanked(self) -> bool:
        return self._blanked


class VirtualPrecession:
    """A precession unit that does what it is told."""

    def __init__(self, *, faults: FaultPlan) -> None:
        self._faults, self._angle_deg = faults, 0.0

    def set_semi_angle(self, precession_deg: float) -> None:
        if not self._faults.stuck("precession.set_semi_angle"):
            self._angle_deg = precession_deg

    def semi_angle_deg(self) -> float:
        return self._angle_deg


class VirtualNavigator:
    """Particles in a row, each a fixed time of searching away from the next."""

    def __init__(self, *, clock: Clock, faults: FaultPlan, search_s: float = 5.0) -> None:
        self._clock, self._faults, self._search_s = clock, faults, search_s
        self.particle = 0

    def go_to(self, index: int, /) -> None:
        if not self._faults.stuck("navigator.go_to"):
            self._clock.sleep(self._search_s)
            self.particle = index


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureConditions:
    """How things stood during one exposure; angles of the specimen, not of the encoder. ``particle``: under the beam,
    counted by the navigator."""

    alpha_start_deg: float
    alpha_end_deg: float
    exposure_s: float
    precession_deg: float
    blanked: bool
    particle: int = 0


class FrameSource(Protocol):
    """Where counts come from: the twin, or a recorded series."""

    def counts(self, conditions: ExposureConditions) -> NDArray[np.uint32]: ...

    def bad_pixels(self) -> NDArray[np.bool_]: ...


class VirtualDetector:
    """Times back-to-back exposures by the clock and asks a source for the counts."""

    def __init__(
        self,
        *,
        source: FrameSource,
        stage: VirtualStage,
        beam: VirtualBeam,
        precession: VirtualPrecession,
        navigator: VirtualNavigator,
        clock: Clock,
        faults: FaultPlan,
    ) -> None:
        self._source, self._stage, self._beam, self._precession = source, stage, beam, precession
        self._navigator = navigator
        self._clock, self._faults = clock, faults
        self._left, self._exposure_s, self._begin_s = 0, 0.0, 0.0

    def start(self, *, frames: int, exposure_s: float) -> None:
        if not self._faults.stuck("detector.start"):
            self._left, self._exposure_s, self._begin_s = frames, exposure_s, self._clock.now_s()

    def read(self) -> NDArray[np.uint32]:
        if self._left < 1:
            raise DeviceError("the detector has no exposure running")
        start_s, end_s = self._begin_s, self._begin_s + self._exposure_s
        start_deg = self._stage.specimen_deg(start_s)
        self._clock.sleep(end_s - self._clock.now_s())
        self._faults.stuck("detector.read")
        self._left, self._begin_s = self._left - 1, end_s
        return self._source.counts(
            ExposureConditions(
                alpha_start_deg=start_deg,
                alpha_end_deg=self._stage.specimen_deg(end_s),
                exposure_s=self._exposure_s,
                precession_deg=self._precession.semi_angle_deg(),
                blanked=self._beam.is_blanked(),
                particle=self._navigator.particle,
            )
        )

    def stop(self) -> None:
        self._left = 0

    def bad_pixels(self) -> NDArray[np.bool_]:
        return self._source.bad_pixels()
