"""A structure in the reduced primitive basis of its lattice: the form in which two descriptions can be compared.

Two elements on one position (a mixed site) are one position with two species.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.model.crystal import Cell, Crystal
from twin.physics.lattice import Floats, Ints, direct_matrix
from twin.physics.symmetry import operations

SAME_POSITION_ANGSTROM = 0.02
_IMAGES = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), axis=-1).reshape(27, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One crystallographic position with all the elements that share it."""

    label: str
    occupancies: tuple[tuple[str, float], ...]

    @property
    def elements(self) -> frozenset[str]:
        return frozenset(element for element, _ in self.occupancies)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """A structure in primitive coordinates.

    conventional: (3, 3) columns a, b, c in Å. basis: (3, 3) columns: primitive vectors in conventional fractional
    coordinates. rotations (n, 3, 3), translations (n, 3): one operation per rotation, in primitive coordinates.
    fract: (m, 3) of the positions. multiplicity: (m,) atoms per conventional cell. atoms (k, 3), atom_position (k,):
    every atom of the primitive cell and the position it belongs to.
    """

    conventional: Floats
    basis: Floats
    rotations: Ints
    translations: Floats
    point_group: Ints  # (p, 3, 3) what maps the structure onto itself, also where ``rotations`` is the identity alone
    positions: tuple[Position, ...]
    fract: Floats
    multiplicity: Ints
    atoms: Floats
    atom_position: Ints

    @property
    def primitive(self) -> Floats:
        """Columns: primitive vectors in Å; (3, 3)."""
        return np.asarray(self.conventional @ self.basis)


def minimum_image(difference: Floats, metric_root: Floats) -> tuple[Floats, Floats]:
    """Shortest image of fractional differences (..., 3) and its length in Å.

    metric_root: columns are the (reduced) basis vectors in Å, so that the nearest image is among 27.
    """
    reduced = difference - np.round(difference)
    candidates = reduced[..., None, :] + _IMAGES
    length = np.linalg.norm(candidates @ metric_root.T, axis=-1)
    best = np.argmin(length, axis=-1)[..., None]
    vector = np.take_along_axis(candidates, best[..., None], axis=-2)[..., 0, :]
    return vector, np.take_along_axis(length, best, axis=-1)[..., 0]


def reduced_basis(direct: Floats, centring: Floats) -> Floats:
    """Successive minima of the lattice: columns in conventional fractional coordinates; (3, 3), right-handed.

    In three dimensions vectors that attain the successive minima form a basis (van der Waerden, 1956).
    """
    steps = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = (steps[:, None, :] + centring[None, :, :]).reshape(-1, 3)
    cartesian = vectors @ direct.T
    length = np.linalg.norm(cartesian, axis=1)
    keep = length > 1e-6
    vectors, cartesian, length = vectors[keep], cartesian[keep], length[keep]
    order = np.lexsort((-vectors[:, 2], -vectors[:, 1], -vectors[:, 0], np.round(length, 6)))
    chosen: list[int] = []
    for i in order:
        trial = [*chosen, int(i)]
        if np.linalg.matrix_rank(cartesian[trial] / length[trial][:, None], tol=1e-3) == len(trial):
            chosen = trial
        if len(chosen) == 3:
            break
    basis = vectors[chosen].T
    return np.asarray(basis if np.linalg.det(basis) > 0 else -basis)


def _positions(crystal: Crystal, direct: Floats) -> list[tuple[Position, Floats]]:
    groups: list[tuple[list[str], dict[str, float], Floats]] = []
    for site in crystal.sites:
        fract = np.array(site.fract)
        for labels, elements, at in groups:
            difference = fract - at
            if np.linalg.norm(direct @ (difference - np.round(difference))) < SAME_POSITION_ANGSTROM:
                labels.append(site.label)
                elements[site.element] = elements.get(site.element, 0.0) + site.occupancy
                break
        else:
            groups.append(([site.label], {site.element: site.occupancy}, fract))
    return [
        (Position(label="/".join(labels), occupancies=tuple(elements.items())), at) for labels, elements, at in groups
    ]


def _orbit(fract: Floats, rotations: Ints, translations: Floats, root: Floats) -> Floats:
    images = rotations @ fract + translations
    distinct: list[int] = []
    for i in range(len(images)):
        if not distinct or minimum_image(images[distinct] - images[i], root)[1].min() > SAME_POSITION_ANGSTROM:
            distinct.append(i)
    return np.asarray(images[distinct])


def _primitive_operations(hall: str, basis: Floats) -> tuple[Ints, Floats]:
    group = operations(hall)
    inverse = np.linalg.inv(basis)
    rotations = np.rint(inverse @ group.rotations @ basis).astype(np.int64)
    translations = group.translations @ inverse.T
    _, first = np.unique(rotations.reshape(-1, 9), axis=0, return_index=True)
    first = np.sort(first)
    return rotations[first], translations[first] - np.floor(translations[first] + 1e-9)


def _centring(hall: str) -> Floats:
    group = operations(hall)
    pure = np.all(group.rotations == np.eye(3, dtype=np.int64), axis=(1, 2))
    return np.asarray(group.translations[pure] % 1.0, dtype=np.float64)


def frame(crystal: Crystal, *, lattice_only: bool = False, keep_centring: bool = True) -> Frame:
    """The structure in its reduced primitive basis.

    lattice_only: forget the point group and list every atom as a position of its own (multiplicity: 1 per primitive
    cell, scaled to the conventional cell). keep_centring=False: use the conventional lattice even where it is centred.
    """
    direct = direct_matrix(crystal.cell)
    centring = _centring(crystal.hall) if keep_centring else np.zeros((1, 3))
    basis = reduced_basis(direct, centring)
    root = direct @ basis
    rotations, translations = _primitive_operations(crystal.hall, reduced_basis(direct, _centring(crystal.hall)))
    if not keep_centring:
        group = operations(crystal.hall)
        inverse = np.linalg.inv(basis)
        rotations = np.rint(inverse @ group.rotations @ basis).astype(np.int64)
        translations = group.translations @ inverse.T
    found = _positions(crystal, direct)
    primitive = [np.asarray(np.linalg.solve(basis, at), dtype=np.float64) for _, at in found]
    orbits = [_orbit(at, rotations, translations, root) for at in primitive]
    cells = len(centring)
    index: NDArray[np.int64] = np.concatenate([np.full(len(o), i, dtype=np.int64) for i, o in enumerate(orbits)])
    atoms = np.concatenate(orbits)
    if lattice_only or not keep_centring:
        return Frame(
            conventional=direct, basis=basis, rotations=np.eye(3, dtype=np.int64)[None], translations=np.zeros((1, 3)),
            point_group=np.unique(rotations, axis=0),
            positions=tuple(found[i][0] for i in index), fract=atoms,
            multiplicity=np.full(len(atoms), cells, dtype=np.int64), atoms=atoms,
            atom_position=np.arange(len(atoms), dtype=np.int64),
        )  # fmt: skip
    return Frame(
        conventional=direct, basis=basis, rotations=rotations, translations=translations, point_group=rotations,
        positions=tuple(p for p, _ in found), fract=np.stack(primitive),
        multiplicity=np.array([cells * len(o) for o in orbits], dtype=np.int64), atoms=atoms, atom_position=index,
    )  # fmt: skip


def cell_of(columns: Floats) -> Cell:
    """Cell parameters of the lattice with these basis vectors (columns, Å)."""
    a, b, c = np.linalg.norm(columns, axis=0)

    def angle(i: int, j: int) -> float:
        cosine = columns[:, i] @ columns[:, j] / np.linalg.norm(columns[:, i]) / np.linalg.norm(columns[:, j])
        return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))

    return Cell(a_angstrom=float(a), b_angstrom=float(b), c_angstrom=float(c),
                alpha_deg=angle(1, 2), beta_deg=angle(0, 2), gamma_deg=angle(0, 1))  # fmt: skip
