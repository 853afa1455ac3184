"""Orientation of a crystal whose cell is known, from spots of a tilt series: what is left when a cell cannot be found.

The transform of the spots is large at every direct lattice vector. A search over all orientations, and over scales (a
camera length is wrong by percents), adds it up over the shortest vectors of the cell: many weak maxima are evidence
together where none stands out alone, as a search for the cell needs. The best orientations are then refined on the
spots. (PETS2's 'find known cell' turns about reflections in steps; here the whole lattice votes at once.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.reduction.axis import density_transform
from pipeline.reduction.cell import reduce_basis
from pipeline.reduction.errors import ReductionError

Floats = NDArray[np.float64]

ORIENTATIONS = 400_000  # about 3° apart
SCALES = 1.0 + np.array([0.0, -0.012, 0.012, -0.024, 0.024, -0.036, 0.036])
VOTERS = 20  # shortest direct lattice vectors, one of each ± pair
STARTS = 40
GRID = 96
RANDOM = 0.125  # of points within a quarter of whole indices by chance


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownCellFound:
    """``direct``: (3, 3) rows a, b, c in Å at tilt 0. ``scale`` of its lengths against the cell that was given, shares
    of the spots within a quarter of whole indices: with this orientation, and with the best that differs from it."""

    direct: Floats
    scale: float
    indexed_fraction: float
    next_fraction: float

    def sentence(self) -> str:
        """For the log."""
        return (
            f"known cell: oriented so that {100 * self.indexed_fraction:.0f} % of the spots lie on it (another "
            f"orientation {100 * self.next_fraction:.0f} %, chance {100 * RANDOM:.0f} %), its lengths times "
            f"{self.scale:.4f} as the camera length has them"
        )


def orientations(number: int) -> Floats:
    """(number, 4) unit quaternions x, y, z, w spread evenly over all rotations (super-Fibonacci spiral: Alexa, CVPR
    (2022) 8281)."""
    phi, psi = np.sqrt(2.0), 1.533751168755204288118041
    s = np.arange(number) + 0.5
    r, big = np.sqrt(s / number), np.sqrt(1.0 - s / number)
    a, b = 2 * np.pi * s / phi, 2 * np.pi * s / psi
    return np.stack([r * np.sin(a), r * np.cos(a), big * np.sin(b), big * np.cos(b)], axis=1)


def matrices(q: Floats) -> Floats:
    """(n, 3, 3) rotations of unit quaternions (n, 4) x, y, z, w."""
    x, y, z, w = q.T
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


@njit(cache=True)
def _votes(transform, rotation, vectors, scales, per_step):  # type: ignore[no-untyped-def]
    """Best sum over scales of the transform at the turned vectors, and the number of that scale; each (rotations,).

    transform: (grid, grid, grid // 2 + 1), a vector t lies at t · per_step.
    """
    grid, half = transform.shape[0], transform.shape[2]
    score = np.zeros(rotation.shape[0], dtype=np.float32)
    which = np.zeros(rotation.shape[0], dtype=np.int64)
    for n in range(rotation.shape[0]):
        for k in range(scales.shape[0]):
            total = np.float32(0.0)
            for v in range(vectors.shape[0]):
                at = np.empty(3)
                for i in range(3):
                    at[i] = (
                        per_step
                        * scales[k]
                        * (
                            rotation[n, i, 0] * vectors[v, 0]
                            + rotation[n, i, 1] * vectors[v, 1]
                            + rotation[n, i, 2] * vectors[v, 2]
                        )
                    )
                sign = -1.0 if at[2] < 0 else 1.0
                x, y, z = round(sign * at[0]), round(sign * at[1]), round(sign * at[2])
                if z < half and abs(x) < grid // 2 and abs(y) < grid // 2:
                    total += transform[x % grid, y % grid, z]
            if total > score[n]:
                score[n] = total
                which[n] = k
    return score, which


def shortest_vectors(direct: Floats, number: int) -> Floats:
    """The ``number`` shortest vectors (number, 3) of the lattice of rows ``direct``, one of each ± pair."""
    steps = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    steps = steps[[tuple(s) > (0, 0, 0) for s in steps.tolist()]]
    vectors = steps @ direct
    return np.asarray(vectors[np.argsort(np.linalg.norm(vectors, axis=1), kind="stable")[:number]])


def refined(
    *, rotation: Floats, scale: float, direct: Floats, points: Floats, weight: Floats, most: float, rounds: int = 12
) -> tuple[Floats, float]:
    """Rotation and scale that bring the points onto whole indices.

    The rotation of a linear least squares (polar decomposition), its scale kept within ``most`` of 1.
    """
    inverse = np.linalg.inv(direct)  # columns a*, b*, c*
    for n in range(rounds):
        tolerance = 0.35 if n < rounds // 2 else 0.25
        h = scale * points @ (rotation @ direct.T)
        whole = np.rint(h)
        own = np.all(np.abs(h - whole) < tolerance, axis=1) & np.any(whole != 0, axis=1)
        if np.count_nonzero(own) < 6:
            break
        model = whole[own] @ inverse.T
        w = weight[own, None]
        u, _, vt = np.linalg.svd((w * points[own]).T @ model)
        rotation = u @ np.diag([1.0, 1.0, float(np.sign(np.linalg.det(u @ vt)))]) @ vt
        turned = model @ rotation.T
        scale = float(np.clip(np.sum(w * turned**2) / np.sum(w * turned * points[own]), 1.0 - most, 1.0 + most))
    return rotation, scale


def _closeness(lattice: Floats, points: Floats, weight: Floats) -> tuple[float, float]:
    """How near the points are to whole indices of the rows ``lattice``: mean of 1 for a hit to 0 for a quarter, and the
    share within a quarter."""
    h = points @ lattice.T
    miss = np.max(np.abs(h - np.rint(h)), axis=1)
    return (
        float(np.average(np.maximum(1.0 - 4.0 * miss, 0.0), weights=weight)),
        float(np.average(miss < 0.25, weights=weight)),
    )


def find_known_cell(
    *, points: Floats, weight: Floats, direct: Floats, g_limit: float, most_scale: float = 0.04
) -> KnownCellFound:
    """Orient the cell of rows ``direct`` (3, 3) in Å on ``points`` (n, 3) at tilt 0 in Å⁻¹, weights (n,)."""
    inside = np.linalg.norm(points, axis=1) < g_limit
    used, w = points[inside], weight[inside]
    if len(used) < 12:
        raise ReductionError(f"known cell: only {len(used)} spots below {g_limit:.2f} Å⁻¹, at least 12 are needed")
    basis = reduce_basis(direct)
    value = density_transform(points=used, weight=w, g_limit=g_limit, grid=GRID)
    wide = ndimage.maximum_filter(value, size=(3, 3, 1), mode="wrap").astype(np.float32)
    rotation = matrices(orientations(ORIENTATIONS))
    score, scale = _votes(wide, rotation, shortest_vectors(basis, VOTERS), SCALES, 2.0 * g_limit)
    tried = []
    for n in _starts(score, rotation, basis):
        turn, size = refined(
            rotation=rotation[n], scale=float(SCALES[scale[n]]), direct=basis, points=used, weight=w, most=most_scale
        )
        own = basis @ turn.T
        tried.append((*_closeness(size * own, used, w), size, own))
    _, share, size, own = max(tried, key=lambda t: t[0])
    others = [t[1] for t in tried if not _same_lattice(own, t[3])]
    to_given = np.rint(direct @ np.linalg.inv(basis))
    return KnownCellFound(
        direct=size * to_given @ own, scale=size, indexed_fraction=share, next_fraction=max(others, default=RANDOM)
    )


def _starts(score: Floats, rotation: Floats, basis: Floats) -> list[int]:
    """Numbers of the orientations to refine: the best ones, and the best of those far from all that are chosen."""
    order = [int(n) for n in np.argsort(-score, kind="stable")[: 100 * STARTS]]
    chosen, bases = order[: STARTS // 2], [basis @ rotation[order[0]].T]
    for n in order:
        turned = basis @ rotation[n].T
        if not any(_same_lattice(kept, turned, 0.3) for kept in bases):
            bases.append(turned)
            chosen.append(n)
        if len(chosen) == STARTS:
            break
    return chosen


def _same_lattice(a: Floats, b: Floats, tolerance: float = 0.15) -> bool:
    """Whether two bases (rows) span the same lattice within a part of an index: equivalent orientations."""
    n = b @ np.linalg.inv(a)
    return bool(np.max(np.abs(n - np.rint(n))) < tolerance) and abs(abs(float(np.linalg.det(np.rint(n)))) - 1.0) < 0.1
