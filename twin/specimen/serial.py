"""Poses of a serial acquisition: every exposure finds a particle in an orientation of its own.

Orientations are uniform on SO(3) and independent ("orientation/17"), the particle lies anywhere within a disc about
the middle of the beam ("particle/17"), and may turn during the exposure about a random axis ("motion/17"), as the
study saw particles do when a bubble front in the ice reached them (ACS Nano 2025, 19, 20599).
"""

from __future__ import annotations

import math

import numpy as np

from twin.model.plan import Plan
from twin.model.specimen import Pose
from twin.physics.lattice import Floats, rotation_matrix
from twin.specimen.motion import smooth_walk, source_scale
from twin.specimen.mounting import as_matrix3, random_mounting
from twin.specimen.streams import stream


def serial_poses(
    *,
    plan: Plan,
    centre_px: tuple[float, float],
    seed: int,
    motion_deg: float = 0.0,
    centre_drift_px: float = 0.0,
    position_spread_nm: float = 0.0,
    intensity_sd_percent: float = 0.0,
) -> tuple[Pose, ...]:
    """Poses of all frames of a serial plan.

    motion_deg: turn of the particle during one exposure, about an axis without preferred direction.
    position_spread_nm: radius of the disc in which the particle lies, uniformly. centre_px, centre_drift_px and
    intensity_sd_percent: as in :func:`twin.specimen.motion.make_poses`.
    """
    wander = smooth_walk(stream(seed, "centre"), count=plan.frame_count, largest=centre_drift_px)
    poses = []
    for frame in plan.frames():
        middle = np.array(random_mounting(stream(seed, f"orientation/{frame.index}")))
        half = _half_turn(stream(seed, f"motion/{frame.index}"), motion_deg)
        shift = _in_disc(stream(seed, f"particle/{frame.index}"), position_spread_nm)
        centre = np.asarray(centre_px) + wander[frame.index]
        pose = Pose(
            index=frame.index,
            rotation_start=as_matrix3(half.T @ middle),
            rotation_end=as_matrix3(half @ middle),
            precession_deg=0.0,
            exposure_s=frame.exposure_s,
            shift_nm=(float(shift[0]), float(shift[1])),
            centre_px=(float(centre[0]), float(centre[1])),
            intensity_scale=source_scale(stream(seed, f"source/{frame.index}"), intensity_sd_percent),
        )
        poses.append(pose)
    return tuple(poses)


def _half_turn(generator: np.random.Generator, motion_deg: float) -> Floats:
    return rotation_matrix(axis=generator.standard_normal(3), angle_deg=0.5 * motion_deg)


def _in_disc(generator: np.random.Generator, radius: float) -> Floats:
    share, azimuth = generator.uniform(size=2)
    angle = 2 * math.pi * azimuth
    return np.array([math.cos(angle), math.sin(angle)]) * radius * math.sqrt(share)
