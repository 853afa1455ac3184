"""Directions of the beam during one exposure, and excitation errors.

K points along the beam, exp(2πi K·r); s_g = (K² − |K + g|²) / 2K, positive when the node lies inside the sphere
(Palatinus, Petříček & Corrêa, Acta Cryst. A71 (2015) 235).
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import ArrayLike

from twin.physics.lattice import Floats


def precession_directions(*, precession_deg: float, steps: int) -> Floats:
    """Unit vectors of K on the precession cone about z, (steps, 3); the single vector z when the angle is 0."""
    if precession_deg == 0.0:
        return np.array([[0.0, 0.0, 1.0]])
    angle = np.radians(precession_deg)
    azimuth = 2 * np.pi * (np.arange(steps) + 0.5) / steps
    sin = np.sin(angle)
    return np.stack([sin * np.cos(azimuth), sin * np.sin(azimuth), np.full(steps, np.cos(angle))], axis=1)


def excitation_errors(*, g_lab: ArrayLike, directions: ArrayLike, wavenumber_per_angstrom: float) -> Floats:
    """s_g in Å⁻¹ for reflections (n, 3) in Å⁻¹ and beam directions (m, 3); (n, m)."""
    g = np.asarray(g_lab, dtype=np.float64)
    along = g @ np.asarray(directions, dtype=np.float64).T
    return np.asarray(-along - np.sum(g**2, axis=1)[:, None] / (2.0 * wavenumber_per_angstrom))


def excitation_and_cosine(
    *, g_lab: ArrayLike, directions: ArrayLike, wavenumber_per_angstrom: float
) -> tuple[Floats, Floats]:
    """(s_g in Å⁻¹, g·d / K), both (n, m), for reflections (n, 3) in Å⁻¹ and beam directions d (m, 3)."""
    g = np.ascontiguousarray(g_lab, dtype=np.float64)
    d = np.ascontiguousarray(directions, dtype=np.float64)
    excitation, cosine = np.empty((len(g), len(d))), np.empty((len(g), len(d)))
    _fill(g, d, wavenumber_per_angstrom, excitation, cosine)
    return excitation, cosine


@numba.njit(cache=True)
def _fill(g: Floats, d: Floats, k: float, excitation: Floats, cosine: Floats) -> None:
    for i in range(len(g)):
        x, y, z = g[i, 0], g[i, 1], g[i, 2]
        curve = (x * x + y * y + z * z) / (2.0 * k)
        for j in range(len(d)):
            along = x * d[j, 0] + y * d[j, 1] + z * d[j, 2]
            excitation[i, j] = -along - curve
            cosine[i, j] = along / k
