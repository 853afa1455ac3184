"""What is common to all frames: an error of the tilt-axis azimuth and a turn of the crystal.

Positions alone cannot fix the azimuth well: a turn of the crystal about the beam moves spots like an error of the
azimuth, but for tilts, to which positions are blind. Once the tilts are known from the intensities, the azimuth and the
turn follow from making the corrections of the frames as small as possible.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipeline.reduction.axis import tilt_rotations

Floats = NDArray[np.float64]


def common_gauge(*, rotation: Floats, alpha_deg: Floats, tilt_axis_deg: float, rounds: int = 4) -> tuple[float, Floats]:
    """Azimuth and Q (3, 3) such that rotation[f] = turn_f R(n, α_f) Q with the smallest turns; ub becomes Q ub."""
    q_total = np.eye(3)
    azimuth = tilt_axis_deg
    z = np.array([0.0, 0.0, 1.0])
    good = np.ones(len(rotation), dtype=bool)
    for _ in range(rounds):
        r = tilt_rotations(tilt_axis_deg=azimuth, alpha_deg=alpha_deg)
        e = Rotation.from_matrix(rotation @ q_total.T @ r.transpose(0, 2, 1)).as_rotvec()
        columns = np.concatenate([r, np.broadcast_to(z[None, :, None], (len(r), 3, 1))], axis=2)
        a, b = columns[good].reshape(-1, 4), e[good].reshape(-1)
        x = np.linalg.solve(a.T @ a + 1e-9 * np.eye(4), a.T @ b)
        left = np.linalg.norm(e - columns @ x, axis=1)
        good = left < 4.0 * np.median(left[good]) + 1e-12
        delta = float(x[3])
        azimuth += float(np.degrees(delta))
        q_total = Rotation.from_rotvec(x[:3] + delta * z).as_matrix() @ q_total
    return azimuth, q_total
