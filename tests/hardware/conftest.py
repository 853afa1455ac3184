"""A virtual microscope whose frames tell the orientation at which they were taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from hardware.clocks import VirtualClock
from hardware.faults import Fault
from hardware.virtual import TwinSource, VirtualMicroscope, stage_for
from twin.model.instrument import Beam, Detector, Microscope, Projection
from twin.model.plan import Plan
from twin.model.specimen import Pose
from twin.physics.lattice import rotation_matrix, tilt_axis_vector
from twin.specimen.motion import make_poses

AXIS_DEG = 33.0
SHAPE = (6, 8)


@dataclass(kw_only=True)
class MemoryRecorder:
    """Keeps frames in memory."""

    frame_count: int
    frames: dict[int, tuple[NDArray[np.generic], float, float]] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[int, ...]:
        return tuple(i for i in range(self.frame_count) if i not in self.frames)

    def record(
        self,
        *,
        index: int,
        counts: NDArray[np.generic],
        alpha_start_deg: float,
        alpha_end_deg: float,
        exposure_s: float,
    ) -> None:
        assert index not in self.frames
        self.frames[index] = (counts, alpha_start_deg, alpha_end_deg)


@pytest.fixture(scope="session")
def nominal() -> Microscope:
    return Microscope(
        name="Test microscope",
        beam=Beam(energy_kev=200.0, diameter_nm=100.0, flux_e_per_angstrom2_s=24.0),
        detector=Detector(name="Test", fast_px=SHAPE[1], slow_px=SHAPE[0], pixel_size_um=55.0),
        projection=Projection(camera_length_mm=650.0, centre_fast_px=3.5, centre_slow_px=2.5, tilt_axis_deg=AXIS_DEG),
    )


def pose_tilt_deg(rotation: object) -> float:
    """Angle of a rotation about the test's tilt axis."""
    matrix, axis = np.array(rotation), tilt_axis_vector(AXIS_DEG)
    probe = np.array([0.0, 0.0, 1.0])
    turned = matrix @ probe
    return float(np.degrees(np.arctan2(np.dot(np.cross(probe, turned), axis), np.dot(probe, turned))))


def encode(pose: Pose) -> NDArray[np.float64]:
    """An 'image' that holds start and end tilt in thousandths of a degree above -100°, and the precession angle."""
    image = np.zeros(SHAPE)
    image[0, 0] = 1000.0 * (pose_tilt_deg(pose.rotation_start) + 100.0)
    image[0, 1] = 1000.0 * (pose_tilt_deg(pose.rotation_end) + 100.0)
    image[0, 2] = 1000.0 * pose.precession_deg
    image[0, 3] = 1.0
    return image


def decode(counts: NDArray[np.generic]) -> tuple[float, float, float]:
    """Start and end tilt and precession in degrees out of a frame."""
    return counts[0, 0] / 1000.0 - 100.0, counts[0, 1] / 1000.0 - 100.0, counts[0, 2] / 1000.0


def respond(electrons: NDArray[np.floating], index: int) -> NDArray[np.uint32]:
    counts = np.round(electrons).astype(np.uint32)
    counts[1, 0] = index
    return counts


@dataclass(kw_only=True)
class Bench:
    """Device, clock and recorder for one plan."""

    device: VirtualMicroscope
    clock: VirtualClock
    recorder: MemoryRecorder
    plan: Plan


@pytest.fixture
def bench(nominal: Microscope) -> Callable[..., Bench]:
    def build(plan: Plan, *, faults: Iterable[Fault] = (), backlash_deg: float = 0.1) -> Bench:
        clock = VirtualClock()
        source = TwinSource(
            plan=plan,
            poses=make_poses(plan=plan, tilt_axis_deg=AXIS_DEG, centre_px=(3.5, 2.5), seed=1),
            tilt_axis_deg=AXIS_DEG,
            render=encode,
            respond=respond,
            bad=np.zeros(SHAPE, dtype=np.bool_),
        )
        device = VirtualMicroscope(
            source=source, nominal=nominal, clock=clock, stage=stage_for(plan, backlash_deg=backlash_deg), faults=faults
        )
        return Bench(device=device, clock=clock, recorder=MemoryRecorder(frame_count=plan.frame_count), plan=plan)

    return build


@pytest.fixture(scope="session", autouse=True)
def _the_code_is_sound() -> None:
    turn = rotation_matrix(axis=tilt_axis_vector(AXIS_DEG), angle_deg=-31.25)
    assert pose_tilt_deg(turn) == pytest.approx(-31.25, abs=1e-12)
