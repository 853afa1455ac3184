"""How a particle sits on the membrane at tilt 0: U in g_lab = U B h."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from twin.model.specimen import Matrix3
from twin.physics.lattice import Floats, rotation_matrix


def as_matrix3(matrix: ArrayLike) -> Matrix3:
    """A (3, 3) array as nested tuples, the form of the frozen types."""
    m = np.asarray(matrix, dtype=np.float64)
    rows = tuple((float(r[0]), float(r[1]), float(r[2])) for r in m)
    return (rows[0], rows[1], rows[2])


def random_mounting(generator: np.random.Generator) -> Matrix3:
    """A rotation drawn uniformly: a normalised Gaussian quaternion (Shoemake, Graphics Gems III (1992) 124)."""
    w, x, y, z = _unit(generator.standard_normal(4))
    return as_matrix3([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


def lying_mounting(generator: np.random.Generator, *, long_axis: ArrayLike) -> Matrix3:
    """Long axis (crystal Cartesian frame) in the plane of the membrane, azimuth and roll about it uniform."""
    axis = _unit(np.asarray(long_axis, dtype=np.float64))
    azimuth, roll = generator.uniform(0.0, 360.0, size=2)
    target = np.array([1.0, 0.0, 0.0])
    turn = np.cross(axis, target)
    if np.linalg.norm(turn) < 1e-9:
        down = np.eye(3) if axis @ target > 0 else rotation_matrix(axis=[0.0, 0.0, 1.0], angle_deg=180.0)
    else:
        angle = float(np.degrees(np.arctan2(np.linalg.norm(turn), axis @ target)))
        down = rotation_matrix(axis=turn, angle_deg=angle)
    spin = rotation_matrix(axis=target, angle_deg=roll)
    return as_matrix3(rotation_matrix(axis=[0.0, 0.0, 1.0], angle_deg=azimuth) @ spin @ down)


def euler_mounting(*, z_deg: float, x_deg: float, z2_deg: float) -> Matrix3:
    """R_z(z) R_x(x) R_z(z2), for mountings that a scenario states."""
    z, x = [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]
    first, second = rotation_matrix(axis=z, angle_deg=z_deg), rotation_matrix(axis=x, angle_deg=x_deg)
    return as_matrix3(first @ second @ rotation_matrix(axis=z, angle_deg=z2_deg))


def _unit(v: Floats) -> Floats:
    return np.asarray(v / np.linalg.norm(v))
