"""What a serial reduction must know beforehand: the cell and the Laue class; and which rotations the lattice has."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.indexing import centring_allows, lattice_points
from twin.files.errors import InputError
from twin.model.crystal import Cell
from twin.physics.lattice import reciprocal_matrix
from twin.physics.symmetry import point_rotations

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

METRIC_TOLERANCE = 0.01  # of a length, or of a cosine, for two cells to count as one
LAUE_HALL = {
    "-1": "-P 1",
    "2/m": "-P 2y",
    "mmm": "-P 2 2",
    "4/m": "-P 4",
    "4/mmm": "-P 4 2",
    "-3": "-P 3",
    "-3m1": '-P 3 2"',
    "-31m": "-P 3 2",
    "6/m": "-P 6",
    "6/mmm": "-P 6 2",
    "m-3": "-P 2 2 3",
    "m-3m": "-P 4 2 3",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownLattice:
    """hall: of the Laue class. reciprocal: B (3, 3) Å⁻¹. lattice_turns: proper rotations T (n, 3, 3) of the lattice,
    R B T is another orientation with the same spots. settings: those of them, one for each coset of the Laue class,
    that a frame's spots cannot tell apart but its intensities can; the identity first.
    """

    cell: Cell
    hall: str
    centring: str
    reciprocal: Floats
    lattice_turns: Ints
    settings: Ints

    def points(self, g_max_per_angstrom: float) -> Ints:
        """Indices (n, 3) up to g_max that the centring allows."""
        return lattice_points(ub=self.reciprocal, centring=self.centring, g_max_per_angstrom=g_max_per_angstrom)


def known_lattice(*, cell: Cell, laue: str, centring: str = "P") -> KnownLattice:
    """Cell and Laue class checked against each other; an :class:`InputError` says what does not fit."""
    if laue not in LAUE_HALL:
        raise InputError(f"reduction.laue is '{laue}'; allowed are {', '.join(LAUE_HALL)}")
    turns = lattice_turns(cell)
    own = proper_turns(LAUE_HALL[laue])
    names = {t.tobytes() for t in turns}
    if not all(t.tobytes() in names for t in own):
        raise InputError(
            f"reduction.laue is '{laue}', but the cell {' '.join(f'{v:g}' for v in cell.parameters)} lacks rotations "
            "of that class in its axes"
        )
    return KnownLattice(
        cell=cell,
        hall=LAUE_HALL[laue],
        centring=centring,
        reciprocal=reciprocal_matrix(cell),
        lattice_turns=turns,
        settings=_cosets(turns, own),
    )


def lattice_turns(cell: Cell, tolerance: float = METRIC_TOLERANCE) -> Ints:
    """Integer matrices T (n, 3, 3) of determinant 1 that turn the lattice into itself: Tᵀ G T = G for the reciprocal
    metric G. Entries of −1, 0, 1 are enough for conventional cells."""
    b = reciprocal_matrix(cell)
    columns = np.array([v for v in product((-1, 0, 1), repeat=3) if any(v)], dtype=np.int64)
    length = np.linalg.norm(columns @ b.T, axis=1)
    wanted = np.linalg.norm(b, axis=0)
    choices = [columns[np.abs(length / w - 1.0) < tolerance] for w in wanted]
    found = [np.stack(t, axis=1) for t in product(*choices)]
    turns = np.array([t for t in found if round(float(np.linalg.det(t))) == 1], dtype=np.int64)
    moved = b @ turns
    change = np.swapaxes(moved, 1, 2) @ moved - b.T @ b
    good = np.abs(change / (wanted[:, None] * wanted[None, :])).max(axis=(1, 2)) < 2 * tolerance
    first = np.all(turns == np.eye(3, dtype=np.int64), axis=(1, 2))
    return np.concatenate([turns[first], turns[good & ~first]])


def proper_turns(hall: str) -> Ints:
    """Proper rotations of the Laue class as matrices on hkl columns; (m, 3, 3), the identity among them."""
    rotations = point_rotations(hall, friedel=True)
    proper = rotations[np.rint(np.linalg.det(rotations)) > 0]
    return np.ascontiguousarray(np.swapaxes(proper, 1, 2))


def _cosets(turns: Ints, own: Ints) -> Ints:
    """One T of each coset T·L of the Laue rotations L among the lattice's, the identity for the first."""
    left: list[Ints] = []
    seen: set[bytes] = set()
    for t in turns:
        if t.tobytes() not in seen:
            left.append(t)
            seen.update(np.ascontiguousarray(t @ s).tobytes() for s in own)
    return np.array(left)


def find_centring(hkl: Ints, *, most_violations: float = 0.05) -> tuple[str, float]:
    """Centring with the fewest lattice points that the indexed spots (n, 3) obey, and the share that breaks it."""
    for centring in ("F", "I", "R", "A", "B", "C"):
        broken = float(np.mean(~centring_allows(hkl, centring))) if len(hkl) else 1.0
        if broken < most_violations:
            return centring, broken
    return "P", 0.0
