"""Which beams take part: by |g| and by excitation error, never by intensity.

A beam without intensity of its own (F = 0) is still reached by multiple scattering; leaving such beams out changes
In2O3 by a percent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.physics.ewald import excitation_errors
from twin.physics.lattice import Ints
from twin.physics.symmetry import centring_vectors


def coupled_hkl(hkl: ArrayLike, hall: str) -> Ints:
    """The rows of hkl (n, 3) that belong to the reciprocal lattice of the centred cell.

    Centring absences are exact for multiple scattering too (no sum of allowed vectors reaches them), unlike those of
    screw axes and glide planes, which stay.
    """
    h: Ints = np.asarray(hkl, dtype=np.int64).reshape(-1, 3)
    phase = h @ centring_vectors(hall).T
    return h[np.all(np.abs(phase - np.round(phase)) < 1e-6, axis=1)]


def active_beams(
    *, g_lab: ArrayLike, directions: ArrayLike, wavenumber_per_angstrom: float, s_max_per_angstrom: float
) -> NDArray[np.bool_]:
    """(N, S): |s_g| ≤ s_max at each beam direction."""
    s = excitation_errors(g_lab=g_lab, directions=directions, wavenumber_per_angstrom=wavenumber_per_angstrom)
    return np.asarray(np.abs(s) <= s_max_per_angstrom)


def select_beams(
    *,
    reciprocal_lab: ArrayLike,
    hkl: ArrayLike,
    directions: ArrayLike,
    wavenumber_per_angstrom: float,
    g_max_per_angstrom: float,
    s_max_per_angstrom: float,
) -> NDArray[np.int64]:
    """Rows of ``hkl`` (n, 3) that are active for at least one of the directions (S, 3); (0, 0, 0) comes first.

    reciprocal_lab: (3, 3) columns a*, b*, c* in the laboratory, R·U·B, Å⁻¹. (0, 0, 0) must be among the candidates.
    """
    candidates: Ints = np.asarray(hkl, dtype=np.int64)
    g = candidates @ np.asarray(reciprocal_lab, dtype=np.float64).T
    length = np.linalg.norm(g, axis=1)
    origin = np.flatnonzero(~candidates.any(axis=1))
    if origin.size != 1:
        raise ValueError("select_beams needs (0, 0, 0) exactly once among the candidates")
    near = np.flatnonzero((length <= g_max_per_angstrom) & candidates.any(axis=1))
    d = np.asarray(directions, dtype=np.float64)
    mean = d.mean(axis=0)
    spread = float(np.linalg.norm(d - mean, axis=1).max())
    middle = -(g[near] @ mean) - length[near] ** 2 / (2.0 * wavenumber_per_angstrom)
    near = near[np.abs(middle) <= s_max_per_angstrom + spread * length[near]]
    inside = active_beams(
        g_lab=g[near],
        directions=d,
        wavenumber_per_angstrom=wavenumber_per_angstrom,
        s_max_per_angstrom=s_max_per_angstrom,
    )
    return np.concatenate([origin, near[inside.any(axis=1)]])
