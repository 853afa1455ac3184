"""A primitive cell from spots in three dimensions: maxima of their Fourier transform are direct lattice vectors."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.reduction.axis import density_transform
from pipeline.reduction.errors import ReductionError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoundLattice:
    """``direct``: (3, 3) rows a, b, c in Å at tilt 0, right-handed, shortest vectors; fraction of spots that it
    indexes."""

    direct: Floats
    indexed_fraction: float
    tried: int


def _maxima(*, points: Floats, weight: Floats, g_limit: float, grid: int, number: int, shortest: float) -> Floats:
    value = density_transform(points=points, weight=weight, g_limit=g_limit, grid=grid)
    top = value == ndimage.maximum_filter(value, size=3, mode="wrap")
    n = np.fft.fftfreq(grid, 1.0 / grid)
    at = np.argwhere(top & (value > 0.1))
    t = np.stack([n[at[:, 0]], n[at[:, 1]], at[:, 2].astype(float)], axis=1) / (2 * g_limit)
    score = value[tuple(at.T)]
    length = np.linalg.norm(t, axis=1)
    keep = (length > shortest) & (length < 0.48 * grid / (2 * g_limit))
    keep &= (t @ np.array([1.0, 1e-3, 1e-6])) >= 0.0  # one of t and −t
    t, score = t[keep], score[keep]
    return np.asarray(t[np.argsort(-score)[:number]])


def refine_vectors(*, vectors: Floats, points: Floats, weight: Floats, rounds: int = 8) -> tuple[Floats, Floats]:
    """Move each t (m, 3) to the maximum of Σ w cos(2π g·t), by least squares on g·t − round(g·t) with a Tukey-like
    weight; returns vectors and their mean cosine (m,)."""
    t = vectors.copy()
    for _ in range(rounds):
        phase = points @ t.T
        miss = phase - np.rint(phase)
        w = weight[:, None] * np.where(np.abs(miss) < 0.25, np.cos(2 * np.pi * miss), 0.0)
        normal = np.einsum("nm,ni,nj->mij", w, points, points, optimize=True) + 1e-6 * np.eye(3)
        right = np.einsum("nm,ni->mi", w * miss, points, optimize=True)
        t = t - np.linalg.solve(normal, right[..., None])[..., 0]
    cosine = np.cos(2 * np.pi * (points @ t.T))
    return t, np.asarray(weight @ cosine / weight.sum())


def reduce_basis(direct: Floats) -> Floats:
    """Three shortest independent vectors of the lattice (a Minkowski-reduced basis), right-handed; rows in Å."""
    basis = direct
    steps = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    steps = steps[np.any(steps != 0, axis=1)]
    for _ in range(3):
        vectors = steps @ basis
        order = np.argsort(np.linalg.norm(vectors, axis=1), kind="stable")
        chosen: list[NDArray[np.int64]] = []
        for n in order:
            trial = np.array([*chosen, steps[n]], dtype=float)
            if np.linalg.matrix_rank(trial) == len(trial) and (len(trial) < 3 or abs(round(np.linalg.det(trial))) == 1):
                chosen.append(steps[n])
            if len(chosen) == 3:
                break
        basis = np.array(chosen) @ basis
    return np.asarray(-basis if np.linalg.det(basis) < 0 else basis)


def indexed(*, direct: Floats, points: Floats, tolerance: float = 0.25) -> NDArray[np.bool_]:
    """Which spots lie within ``tolerance`` (in each index) of the lattice with rows ``direct``."""
    h = points @ direct.T
    return np.asarray(np.all(np.abs(h - np.rint(h)) < tolerance, axis=1))


def _candidates(t: Floats, score: Floats) -> Floats:
    """The vectors (m, 3) that cells are made of: short ones, sure ones, and some that leave the plane of these.

    With a zone axis along the beam at tilt 0, all sure vectors lie in the plane of the detector: those out of it suffer
    from the thickness of the cone of precession and from the wedge that the tilts leave out.
    """
    sure = np.flatnonzero(score > 0.5 * score.max())
    short = sure[np.argsort(np.linalg.norm(t[sure], axis=1))[:16]]
    chosen = np.concatenate([short, sure[np.argsort(-score[sure])[:8]]])  # a strong sublattice fills the short ones
    unit = t / np.linalg.norm(t, axis=1)[:, None]
    normal = np.linalg.svd(unit[chosen])[2][2]
    out = np.flatnonzero((np.abs(unit @ normal) > 0.3) & (score > 0.2 * score.max()))
    return np.asarray(t[np.unique(np.concatenate([chosen, out[np.argsort(-score[out])[:10]]]))])


def find_cell(
    *,
    points: Floats,
    weight: Floats,
    g_limit: float = 1.0,
    grid: int = 128,
    longest_angstrom: float = 30.0,
    shortest_angstrom: float = 2.2,
) -> FoundLattice:
    """Primitive lattice of ``points`` (n, 3) at tilt 0 in Å⁻¹; the smallest cell that indexes nearly as many as
    the best."""
    inside = np.linalg.norm(points, axis=1) < g_limit
    used, w = points[inside], weight[inside]
    if len(used) < 30:
        raise ReductionError(f"no lattice: only {len(used)} spots below {g_limit:.2f} Å⁻¹, at least 30 are needed")
    start = _maxima(points=used, weight=w, g_limit=g_limit, grid=grid, number=300, shortest=shortest_angstrom)
    if len(start) < 3:
        raise ReductionError(
            f"no lattice: the transform of {len(used)} spots has fewer than three maxima up to {longest_angstrom} Å"
        )
    t, score = refine_vectors(vectors=start, points=used, weight=w)
    length = np.linalg.norm(t, axis=1)
    keep = (length > shortest_angstrom) & (length < longest_angstrom)
    t = _candidates(t[keep], score[keep])
    best: list[tuple[float, float, Floats]] = []
    for i, j, k in combinations(range(len(t)), 3):
        triple = t[[i, j, k]]
        volume = abs(float(np.linalg.det(triple)))
        if volume < 0.15 * float(np.prod(np.linalg.norm(triple, axis=1))) or volume < 15.0:
            continue
        best.append((float(np.average(indexed(direct=triple, points=used), weights=w)), volume, triple))
    if not best:
        raise ReductionError(
            f"no lattice: {len(t)} candidate vectors up to {longest_angstrom} Å span no cell ({len(used)} spots)"
        )
    top = max(b[0] for b in best)
    fraction, _, direct = min((b for b in best if b[0] > 0.95 * top), key=lambda b: (round(b[1] / 1.1**0.5, 0), -b[0]))
    return FoundLattice(direct=reduce_basis(direct), indexed_fraction=fraction, tried=len(best))
