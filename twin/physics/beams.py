"""Which beams take part: by |g| and by excitation error, never by intensity.

A beam without intensity of its own (F = 0) is still reached by multiple scattering; leaving such beams out changes
In2O3 by a percent.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.physics.ewald import excitation_errors
from twin.physics.lattice import Floats, Ints
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
    candidates: Ints = np.ascontiguousarray(hkl, dtype=np.int64).reshape(-1, 3)
    d = np.ascontiguousarray(np.atleast_2d(np.asarray(directions, dtype=np.float64)))
    mean = d.mean(axis=0)
    spread = float(np.linalg.norm(d - mean, axis=1).max())
    lab = np.ascontiguousarray(reciprocal_lab, dtype=np.float64)
    near, origins = _near(
        candidates, lab, d, mean, spread, wavenumber_per_angstrom, g_max_per_angstrom, s_max_per_angstrom
    )
    if len(origins) != 1:
        raise ValueError("select_beams needs (0, 0, 0) exactly once among the candidates")
    return np.concatenate([origins, near])


@numba.njit(cache=True)
def _near(
    hkl: Ints, lab: Floats, directions: Floats, mean: Floats, spread: float, k: float, g_max: float, s_max: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rows with |g| ≤ g_max and |s| ≤ s_max for some direction, rows of (0, 0, 0)).

    |s(d) − s(mean)| ≤ |g| spread decides most of them without a look at every direction, in a loop without branches.
    """
    n = len(hkl)
    maybe = np.empty(n, dtype=np.bool_)
    for i in range(n):
        a, b, c = float(hkl[i, 0]), float(hkl[i, 1]), float(hkl[i, 2])
        x = lab[0, 0] * a + lab[0, 1] * b + lab[0, 2] * c
        y = lab[1, 0] * a + lab[1, 1] * b + lab[1, 2] * c
        z = lab[2, 0] * a + lab[2, 1] * b + lab[2, 2] * c
        square = x * x + y * y + z * z
        beyond = max(abs(x * mean[0] + y * mean[1] + z * mean[2] + square / (2.0 * k)) - s_max - 1e-12, 0.0)
        maybe[i] = (square <= g_max * g_max) & (beyond * beyond <= spread * spread * square)
    keep, origin = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    kept, origins = 0, 0
    for i in range(n):
        if not maybe[i]:
            continue
        a, b, c = hkl[i, 0], hkl[i, 1], hkl[i, 2]
        if a == 0 and b == 0 and c == 0:
            origin[origins] = i
            origins += 1
            continue
        x = lab[0, 0] * a + lab[0, 1] * b + lab[0, 2] * c
        y = lab[1, 0] * a + lab[1, 1] * b + lab[1, 2] * c
        z = lab[2, 0] * a + lab[2, 1] * b + lab[2, 2] * c
        curve = (x * x + y * y + z * z) / (2.0 * k)
        for j in range(len(directions)):
            if abs(x * directions[j, 0] + y * directions[j, 1] + z * directions[j, 2] + curve) <= s_max:
                keep[kept] = i
                kept += 1
                break
    return keep[:kept], origin[:origins]
