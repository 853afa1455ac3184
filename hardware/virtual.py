"""The virtual microscope: protocols in front, the twin's poses and an injected renderer behind.

The renderer (expected electrons of a pose) and the detector response are passed in, so that this module knows nothing
of how frames are made. The poses of the truth hold the errors of stage and optics for the planned angles; when a
procedure exposes somewhere else (play not taken up, wrong speed), the pose is turned by the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hardware.faults import Fault, FaultPlan
from hardware.protocols import Clock
from hardware.virtual_parts import (
    ExposureConditions,
    FrameSource,
    StageModel,
    VirtualBeam,
    VirtualDetector,
    VirtualNavigator,
    VirtualPrecession,
    VirtualStage,
)
from twin.model.instrument import Microscope
from twin.model.plan import Plan
from twin.model.specimen import Matrix3, Pose
from twin.physics.lattice import rotation_matrix, tilt_axis_vector

Render = Callable[[Pose], NDArray[np.floating]]
Respond = Callable[[NDArray[np.floating], int], NDArray[np.uint32]]
_SAME_ANGLE_DEG = 1e-6


class VirtualMicroscope:
    """Stage, beam, precession and detector around a source of frames."""

    def __init__(
        self,
        *,
        source: FrameSource,
        nominal: Microscope,
        clock: Clock,
        stage: StageModel | None = None,
        faults: Iterable[Fault] = (),
    ) -> None:
        plan = FaultPlan(faults)
        self._nominal = nominal
        self.goniometer = VirtualStage(model=StageModel() if stage is None else stage, clock=clock, faults=plan)
        self.beam = VirtualBeam(clock=clock, faults=plan)
        self.precession = VirtualPrecession(faults=plan)
        self.navigator = VirtualNavigator(clock=clock, faults=plan)
        self.detector = VirtualDetector(
            source=source,
            stage=self.goniometer,
            beam=self.beam,
            precession=self.precession,
            navigator=self.navigator,
            clock=clock,
            faults=plan,
        )

    def settings(self) -> Microscope:
        return self._nominal


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TwinSource:
    """Frames of the twin.

    plan, poses: planned angles and what really happens at them, one pose a planned frame. tilt_axis_deg: of the
    *actual* instrument. render(pose) -> (slow, fast) expected electrons; respond(electrons, index) -> counts, with its
    own random stream for each pose index. bad: (slow, fast) True where the detector must not be believed.
    """

    plan: Plan
    poses: Sequence[Pose]
    tilt_axis_deg: float
    render: Render
    respond: Respond
    bad: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if len(self.poses) != self.plan.frame_count:
            raise ValueError(f"the plan has {self.plan.frame_count} frames, but there are {len(self.poses)} poses")

    def counts(self, conditions: ExposureConditions) -> NDArray[np.uint32]:
        planned = self.plan.frames()
        nearest = self._nearest(conditions)
        if conditions.blanked:
            return self.respond(np.zeros(self.bad.shape), nearest)
        pose = replace(
            self.poses[nearest],
            rotation_start=self._turned(
                self.poses[nearest].rotation_start, conditions.alpha_start_deg - planned[nearest].alpha_start_deg
            ),
            rotation_end=self._turned(
                self.poses[nearest].rotation_end, conditions.alpha_end_deg - planned[nearest].alpha_end_deg
            ),
        )
        if conditions.exposure_s != self.plan.exposure_s:
            pose = replace(pose, exposure_s=conditions.exposure_s)
        if conditions.precession_deg != self.plan.precession_deg:
            pose = replace(pose, precession_deg=conditions.precession_deg)
        return self.respond(self.render(pose), nearest)

    def bad_pixels(self) -> NDArray[np.bool_]:
        return self.bad

    def _nearest(self, conditions: ExposureConditions) -> int:
        """The planned exposure at these angles; in a serial plan the particle's own."""
        if self.plan.mode == "serial":
            return conditions.particle
        starts = np.array([frame.alpha_start_deg for frame in self.plan.frames()])
        return int(np.argmin(np.abs(starts - conditions.alpha_start_deg)))

    def _turned(self, rotation: Matrix3, angle_deg: float) -> Matrix3:
        """The rotation followed by ``angle_deg`` about the tilt axis; unchanged when that is nothing."""
        if abs(angle_deg) < _SAME_ANGLE_DEG:
            return rotation
        turn = rotation_matrix(axis=tilt_axis_vector(self.tilt_axis_deg), angle_deg=angle_deg)
        (a, b, c), (d, e, f), (g, h, i) = (turn @ np.array(rotation)).tolist()
        return ((a, b, c), (d, e, f), (g, h, i))


def stage_for(plan: Plan, *, backlash_deg: float = 0.1) -> StageModel:
    """A stage whose encoder is right when its play is taken up in the direction of the plan, standing at 0°."""
    return StageModel(backlash_deg=backlash_deg, calibrated_direction=1 if plan.step_deg >= 0 else -1)
