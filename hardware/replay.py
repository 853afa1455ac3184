"""A microscope that gives back what another one recorded: the same procedures, the same events, known frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware.errors import DeviceError
from hardware.faults import Fault
from hardware.protocols import Clock
from hardware.virtual import VirtualMicroscope
from hardware.virtual_parts import ExposureConditions, StageModel
from twin.model.dataset import Dataset
from twin.model.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReplaySource:
    """Frames of a recorded series, found by the angle at which they began; of a serial one by the particle."""

    dataset: Dataset

    def counts(self, conditions: ExposureConditions) -> NDArray[np.uint32]:
        if conditions.blanked:
            return np.zeros_like(self.dataset.counts[0])
        if self.dataset.mode == "serial":
            if not 0 <= conditions.particle < len(self.dataset.counts):
                raise DeviceError(f"the recorded series has no particle {conditions.particle}")
            return np.asarray(self.dataset.counts[conditions.particle])
        away = np.abs(self.dataset.alpha_start_deg - conditions.alpha_start_deg)
        nearest = int(np.argmin(away))
        if away[nearest] > 0.5 * abs(plan_of(self.dataset).step_deg) + 1e-6:
            raise DeviceError(f"the recorded series has no frame near {conditions.alpha_start_deg:.3f}°")
        return np.asarray(self.dataset.counts[nearest])

    def bad_pixels(self) -> NDArray[np.bool_]:
        return self.dataset.bad_pixels


def replay_microscope(dataset: Dataset, *, clock: Clock, faults: Iterable[Fault] = ()) -> VirtualMicroscope:
    """A device that replays ``dataset``; its stage has no play."""
    return VirtualMicroscope(
        source=ReplaySource(dataset=dataset),
        nominal=dataset.microscope,
        clock=clock,
        stage=StageModel(backlash_deg=0.0, hard_limit_deg=90.0, speed_max_deg_s=100.0),
        faults=faults,
    )


def plan_of(dataset: Dataset) -> Plan:
    """The plan that a recorded series followed: its first angle, its median step and exposure."""
    start = dataset.alpha_start_deg
    step_deg = float(np.median(np.diff(start))) if len(start) > 1 else 0.0
    if dataset.mode == "continuous" and len(start) == 1:
        step_deg = float(dataset.alpha_end_deg[0] - start[0])
    return Plan(
        mode=dataset.mode,
        start_deg=float(start[0]),
        step_deg=step_deg,
        frame_count=len(start),
        exposure_s=float(np.median(dataset.exposure_s)),
        precession_deg=dataset.precession_deg,
    )
