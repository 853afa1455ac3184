"""Impose a space group on a phase set, and let low-density elimination clean it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.solution.flipping import Complexes, Grid, coefficients, density, eliminate, make_grid
from pipeline.solution.groups import Candidate
from twin.physics.lattice import Floats, Ints

CYCLES = 10


def moved_origin(hkl: Ints, f: Complexes, origin: Floats) -> Complexes:
    """F about another origin: x' = x − w, F'(h) = F(h) exp(−2πi h·w)."""
    return np.asarray(f * np.exp(-2j * np.pi * (hkl @ origin)))


class Averager:
    """Averages F over the operations of a setting: F(h) = <F(hR) exp(+2πi h·t)>; absent reflections become zero."""

    def __init__(self, *, hkl: Ints, rotations: Ints, translations: Floats) -> None:
        base = int(np.abs(hkl).max())
        number = np.zeros((2 * base + 1,) * 3, dtype=np.int64)  # 0: not in the list; ±(i + 1): reflection i or its mate
        a, b = hkl + base, -hkl + base
        number[a[:, 0], a[:, 1], a[:, 2]] = np.arange(1, len(hkl) + 1)
        number[b[:, 0], b[:, 1], b[:, 2]] = -np.arange(1, len(hkl) + 1)
        turned = np.einsum("ni,pij->pnj", hkl, rotations) + base
        inside = np.all((turned >= 0) & (turned <= 2 * base), axis=2)
        turned = np.clip(turned, 0, 2 * base)
        found = np.where(inside, number[turned[..., 0], turned[..., 1], turned[..., 2]], 0)
        self._index = np.maximum(np.abs(found) - 1, 0)
        self._mate = found < 0
        self._factor = np.where(found != 0, np.exp(2j * np.pi * (hkl @ translations.T).T), 0.0)

    def __call__(self, f: Complexes) -> Complexes:
        values = f[self._index]
        values = np.where(self._mate, np.conj(values), values)
        return np.asarray((values * self._factor).mean(axis=0))


def recycle(
    *, candidate: Candidate, hkl: Ints, primitive_hkl: Ints, f: Complexes, e: Floats, measured: NDArray[np.bool_],
    cycles: int = CYCLES,
) -> Complexes:  # fmt: skip
    """Phased E (n,) in the setting of the candidate after some cycles of symmetrisation and low-density elimination.

    Unmeasured reflections stay zero: what elimination puts there is believed by the next cycle, and where half of the
    sphere is missing (albite) the correlation with the true map falls from 0.97 to 0.93 in ten cycles, to 0.5 in 100.
    """
    average = Averager(hkl=primitive_hkl, rotations=candidate.setting.rotations,
                       translations=candidate.setting.translations)  # fmt: skip
    grid: Grid = make_grid(primitive_hkl)
    current = average(moved_origin(hkl, f, candidate.origin))
    for _ in range(cycles):
        rho = density(grid, np.where(measured, impose(current, e, measured), 0.0))
        current = average(coefficients(grid, eliminate(rho[None].astype(np.float32))[0].astype(np.float64)))
    return impose(current, e, measured)


def impose(f: Complexes, amplitude: Floats, measured: NDArray[np.bool_]) -> Complexes:
    """Measured amplitudes with the phases of f; the others keep theirs (scaled alike), symmetry zeros stay zero."""
    size = np.abs(f)
    known = measured & (size > 1e-9 * max(float(size.max()), 1e-30))
    scale = float(amplitude[known] @ size[known]) / max(float(size[known] @ size[known]), 1e-30)
    return np.asarray(np.where(known, amplitude * f / np.maximum(size, 1e-30), np.where(measured, 0.0, scale * f)))
