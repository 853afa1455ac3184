"""Pairs the positions of two structures once a map between their groups is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from twin.physics.lattice import Floats, Ints
from validation.compare.frame import Frame, minimum_image
from validation.compare.normaliser import Shifts

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairing:
    """Partners and displacements. pairs (n, 2): positions of 1 and 2; displacement (n, 3): u = x2 - x1, primitive."""

    cost: float
    w: Ints
    shift: Floats
    pairs: Ints
    displacement: Floats
    distance: Floats


def compatibility(first: Frame, second: Frame) -> Bools:
    """(m1, m2) True where two positions may be the same: a common element (or both foreign) and equal multiplicity."""
    all1 = frozenset().union(*(p.elements for p in first.positions))
    all2 = frozenset().union(*(p.elements for p in second.positions))
    only1, only2 = all1 - all2, all2 - all1
    species = np.array([
        [bool(p.elements & q.elements) or bool(p.elements & only1 and q.elements & only2) for q in second.positions]
        for p in first.positions
    ])  # fmt: skip
    density = np.linalg.det(first.basis) / np.linalg.det(second.basis)
    same = np.isclose(first.multiplicity[:, None] * density, second.multiplicity[None, :])
    return np.asarray(species & same)


def _displacements(first: Frame, second: Frame, w: Ints, shift: Floats) -> tuple[Floats, Floats]:
    """Shortest u (m1, m2, 3) from each position of 1 to the nearest atom of each position of 2, and its length in Å."""
    moved = second.atoms @ w.T + shift
    vector, length = minimum_image(moved[None, :, :] - first.fract[:, None, :], first.primitive)
    count = len(second.positions)
    best = np.full((len(first.fract), count), np.inf)
    where = np.zeros((len(first.fract), count), dtype=np.int64)
    for site in range(count):
        columns = np.flatnonzero(second.atom_position == site)
        local = np.argmin(length[:, columns], axis=1)
        where[:, site] = columns[local]
        best[:, site] = length[np.arange(len(length)), columns[local]]
    return np.take_along_axis(vector, where[:, :, None], axis=1), best


def pair(
    first: Frame, second: Frame, *, w: Ints, shift: Floats, shifts: Shifts, allowed: Bools, limit_angstrom: float
) -> Pairing:
    """Best assignment of positions, with the shift along polar directions brought to the mean displacement."""
    free_cartesian = first.primitive @ shifts.free
    for cycle in range(12):
        vector, length = _displacements(first, second, w, shift)
        cost = np.where(allowed, np.minimum(length, limit_angstrom), 4.0 * limit_angstrom)
        rows, columns = linear_sum_assignment(cost * first.multiplicity[:, None])
        taken = allowed[rows, columns] & (length[rows, columns] <= limit_angstrom)
        pairs = np.stack([rows[taken], columns[taken]], axis=1)
        u, distance = vector[pairs[:, 0], pairs[:, 1]], length[pairs[:, 0], pairs[:, 1]]
        weight = first.multiplicity[pairs[:, 0]].astype(np.float64)
        total = float(weight @ distance) + limit_angstrom * float(first.multiplicity.sum() - weight.sum())
        result = Pairing(cost=total / float(first.multiplicity.sum()), w=w, shift=shift, pairs=pairs, displacement=u,
                         distance=distance)  # fmt: skip
        if shifts.free.shape[1] == 0 or len(pairs) == 0:
            return result
        mean = first.primitive @ (weight @ u / weight.sum())
        step = shifts.free @ np.linalg.lstsq(free_cartesian, mean, rcond=None)[0]
        if np.linalg.norm(first.primitive @ step) < 1e-10 or cycle == 11:
            return result
        shift = shift - step
    return result


def starting_shifts(first: Frame, second: Frame, *, w: Ints, shifts: Shifts, allowed: Bools) -> Floats:
    """Discrete shifts, each with the polar parts that bring a scarce position of 1 onto atoms of 2; (n, 3)."""
    if shifts.free.shape[1] == 0:
        return shifts.discrete
    atoms_allowed = allowed[:, second.atom_position]
    counts = np.where(atoms_allowed.sum(axis=1) > 0, atoms_allowed.sum(axis=1), 10**6)
    anchor = int(np.argmin(counts))
    partners = second.atoms[atoms_allowed[anchor]]
    if len(partners) == 0:
        return shifts.discrete
    difference = first.fract[anchor] - (partners @ w.T)[None, :, :] - shifts.discrete[:, None, :]
    extra = (difference @ shifts.inverse_rows.T) @ shifts.free.T
    return np.asarray((shifts.discrete[:, None, :] + extra).reshape(-1, 3))


def quick_score(first: Frame, second: Frame, *, w: Ints, shift: Floats, allowed: Bools, limit_angstrom: float) -> float:
    """Lower bound of the cost without an assignment: every position takes its nearest allowed partner."""
    _, length = _displacements(first, second, w, shift)
    nearest = np.minimum(np.where(allowed, length, limit_angstrom), limit_angstrom).min(axis=1)
    return float(nearest @ first.multiplicity / first.multiplicity.sum())
