"""The lattice that the pipeline found against the true one: setting, cell errors.

A lattice has many bases. Before two cells can be compared the found axes are written in the true crystal's lattice,
A_found = A_true T with T an exact transformation (integers, or fractions that the true centring allows), over every T
that reproduces the found lengths and angles within a tolerance; the one with the smallest misorientation is kept,
so that a symmetric lattice is compared in the nearest of its equivalent settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from twin.model.crystal import Cell
from twin.physics.lattice import cell_from_reciprocal_matrix
from twin.physics.symmetry import centring_vectors
from validation.view import Floats

LENGTH_TOLERANCE = 0.05
ANGLE_TOLERANCE_DEG = 3.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatticeMatch:
    """``transform``: T (3, 3). ``ub``: (3, 3) Å⁻¹, the found lattice in the true crystal's axes; ``cell`` likewise.

    Lengths are compared as they are (the camera length enters), ratios as a/b, b/c and a/c (it does not).
    """

    transform: Floats
    ub: Floats
    cell: Cell
    max_length_error_percent: float
    max_ratio_error_percent: float
    max_angle_error_deg: float


def rotation_part(matrix: ArrayLike) -> Floats:
    """Proper rotation nearest to matrices (..., 3, 3): the orthogonal factor of the polar decomposition."""
    u, _, vt = np.linalg.svd(np.asarray(matrix, dtype=np.float64))
    sign = np.sign(np.linalg.det(u @ vt))
    u[..., :, -1] *= sign[..., None]
    return np.asarray(u @ vt)


def angle_deg(rotation: ArrayLike) -> Floats:
    """Rotation angle of (n, 3, 3) matrices in degrees; accurate for small angles too."""
    return np.degrees(Rotation.from_matrix(np.asarray(rotation)).magnitude())


def match_lattice(
    *, ub_found: ArrayLike, ub_true: ArrayLike, hall_true: str, misfit: Callable[[Floats], Floats] | None = None
) -> LatticeMatch | None:
    """Best match of two lattices given by their UB at tilt 0 (Å⁻¹); None when they are different lattices.

    ``misfit``: the found lattice in the axes of each T, (m, 3, 3), to what is to be smallest, (m,); the misorientation
    at tilt 0 when it is left out.
    """
    found, true = np.asarray(ub_found, dtype=np.float64), np.asarray(ub_true, dtype=np.float64)
    transforms = _transforms(_direct(found), _direct(true), np.asarray(centring_vectors(hall_true), dtype=np.float64))
    if len(transforms) == 0:
        return None
    moved = found @ np.swapaxes(transforms, 1, 2)
    values = angle_deg(rotation_part(moved @ np.linalg.inv(true))) if misfit is None else misfit(moved)
    best = int(np.argmin(values))
    return _match(transforms[best], moved[best], cell_from_reciprocal_matrix(true))


def _direct(reciprocal: Floats) -> Floats:
    return np.asarray(np.linalg.inv(reciprocal).T, dtype=np.float64)


def _transforms(found: Floats, true: Floats, centring: Floats) -> Floats:
    """All T (m, 3, 3) that give the found metric within the tolerances, and A_found A_true⁻¹ a positive determinant.

    A lattice is centrosymmetric, so that left-handed found axes only mean that every index changes its sign.
    """
    grid = np.array(list(product(range(-3, 4), repeat=3)), dtype=np.float64)
    vectors = (grid[None] + centring[:, None]).reshape(-1, 3)
    cartesian = vectors @ true.T
    length = np.linalg.norm(cartesian, axis=1)
    wanted = np.linalg.norm(found, axis=0)
    candidates = [vectors[np.abs(length / w - 1.0) < LENGTH_TOLERANCE] for w in wanted]
    a, b, c = (x @ true.T for x in candidates)
    ok = _angle_ok(a, b, found[:, 0], found[:, 1])
    first, second = np.nonzero(ok)
    third = _angle_ok(a, c, found[:, 0], found[:, 2])[first] & _angle_ok(b, c, found[:, 1], found[:, 2])[second]
    pair, last = np.nonzero(third)
    chosen = [candidates[0][first[pair]], candidates[1][second[pair]], candidates[2][last]]
    transforms = np.stack(chosen, axis=-1)
    hand = np.sign(np.linalg.det(found) * np.linalg.det(true))
    return np.asarray(transforms[hand * np.linalg.det(transforms) > 1e-6])


def _angle_ok(left: Floats, right: Floats, found_left: Floats, found_right: Floats) -> NDArray[np.bool_]:
    """(n, m) bool: the angle between each pair of vectors agrees with that of the found pair."""
    def angle(p: Floats, q: Floats) -> Floats:
        norms = np.linalg.norm(p, axis=-1)[:, None] * np.linalg.norm(q, axis=-1)[None]
        return np.asarray(np.degrees(np.arccos(np.clip(p @ q.T / norms, -1.0, 1.0))), dtype=np.float64)

    wanted = angle(found_left[None], found_right[None])[0, 0]
    return np.asarray(np.abs(angle(left, right) - wanted) < ANGLE_TOLERANCE_DEG)


def _match(transform: Floats, ub: Floats, true: Cell) -> LatticeMatch:
    cell = cell_from_reciprocal_matrix(ub)
    lengths, true_lengths = np.array(cell.parameters[:3]), np.array(true.parameters[:3])
    scale = lengths / true_lengths
    ratios = np.array([scale[0] / scale[1], scale[1] / scale[2], scale[0] / scale[2]])
    angles = np.abs(np.array(cell.parameters[3:]) - np.array(true.parameters[3:]))
    return LatticeMatch(
        transform=transform,
        ub=ub,
        cell=cell,
        max_length_error_percent=float(100 * np.max(np.abs(scale - 1.0))),
        max_ratio_error_percent=float(100 * np.max(np.abs(ratios - 1.0))),
        max_angle_error_deg=float(np.max(angles)),
    )
