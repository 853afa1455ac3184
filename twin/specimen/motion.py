"""What stage, column and source really do during a series: the poses behind a plan.

Slow errors (drift, run-out, wandering centre) belong to the series and come from its own streams; fast ones
(orientation jitter, intensity) belong to the frame: "jitter/17", "source/17".
"""

from __future__ import annotations

import numpy as np

from twin.model.plan import Plan, PlannedFrame
from twin.model.specimen import Pose
from twin.physics.lattice import Floats, rotation_matrix, tilt_axis_vector
from twin.specimen.mounting import as_matrix3
from twin.specimen.streams import stream


def make_poses(
    *,
    plan: Plan,
    tilt_axis_deg: float,
    centre_px: tuple[float, float],
    seed: int,
    orientation_jitter_deg: float = 0.0,
    centre_drift_px: float = 0.0,
    position_drift_nm: float = 0.0,
    position_runout_nm: float = 0.0,
    intensity_sd_percent: float = 0.0,
) -> tuple[Pose, ...]:
    """Poses of all frames of the plan.

    tilt_axis_deg, centre_px: of the actual instrument (degrees from fast to slow; fast, slow in px).
    orientation_jitter_deg: standard deviation of small rotations about x, y and z, new for every frame.
    centre_drift_px: largest wander of the direct beam over the series, a smooth curve.
    position_drift_nm: straight drift of the particle over the whole series. position_runout_nm: largest lateral
    run-out of the goniometer, a smooth curve over the tilt. intensity_sd_percent: of the source, frame by frame.
    """
    frames = plan.frames()
    axis = tilt_axis_vector(tilt_axis_deg)
    drift = _drift(seed, len(frames), position_drift_nm) + smooth_walk(
        stream(seed, "runout"), count=len(frames), largest=position_runout_nm
    )
    wander = smooth_walk(stream(seed, "centre"), count=len(frames), largest=centre_drift_px)
    return tuple(
        _pose(
            frame,
            axis=axis,
            precession_deg=plan.precession_deg,
            jitter=rotation_jitter(stream(seed, f"jitter/{frame.index}"), sd_deg=orientation_jitter_deg),
            shift_nm=drift[i],
            centre_px=np.asarray(centre_px) + wander[i],
            intensity=source_scale(stream(seed, f"source/{frame.index}"), intensity_sd_percent),
        )
        for i, frame in enumerate(frames)
    )


def rotation_jitter(generator: np.random.Generator, *, sd_deg: float) -> Floats:
    """A small rotation whose components about x, y, z are Gaussian with ``sd_deg``; (3, 3)."""
    vector = sd_deg * generator.standard_normal(3)
    angle = float(np.linalg.norm(vector))
    return np.eye(3) if angle == 0.0 else rotation_matrix(axis=vector, angle_deg=angle)


def smooth_walk(generator: np.random.Generator, *, count: int, largest: float) -> Floats:
    """(count, 2) smooth curve: three low harmonics with random phases, its farthest point ``largest`` from 0."""
    position = np.linspace(0.0, 1.0, count)
    amplitude = generator.standard_normal((3, 2)) / np.arange(1.0, 4.0)[:, None]
    phase = generator.uniform(0.0, 2 * np.pi, size=(3, 2))
    arguments = np.pi * np.arange(1.0, 4.0)[:, None, None] * position[None, None, :] + phase[:, :, None]
    curve = np.sum(amplitude[:, :, None] * np.sin(arguments), axis=0).T
    size = float(np.linalg.norm(curve, axis=1).max())
    return np.asarray(curve * (largest / size if size > 0 else 0.0))


def _drift(seed: int, count: int, length_nm: float) -> Floats:
    angle = stream(seed, "drift").uniform(0.0, 2 * np.pi)
    return np.asarray(np.outer(np.linspace(-0.5, 0.5, count), [np.cos(angle), np.sin(angle)]) * length_nm)


def source_scale(generator: np.random.Generator, sd_percent: float) -> float:
    """Flux of one exposure against the nominal one."""
    return float(max(0.0, 1.0 + 0.01 * sd_percent * generator.standard_normal()))


def _pose(
    frame: PlannedFrame,
    *,
    axis: Floats,
    precession_deg: float,
    jitter: Floats,
    shift_nm: Floats,
    centre_px: Floats,
    intensity: float,
) -> Pose:
    return Pose(
        index=frame.index,
        rotation_start=as_matrix3(jitter @ rotation_matrix(axis=axis, angle_deg=frame.alpha_start_deg)),
        rotation_end=as_matrix3(jitter @ rotation_matrix(axis=axis, angle_deg=frame.alpha_end_deg)),
        precession_deg=precession_deg,
        exposure_s=frame.exposure_s,
        shift_nm=(float(shift_nm[0]), float(shift_nm[1])),
        centre_px=(float(centre_px[0]), float(centre_px[1])),
        intensity_scale=intensity,
    )
