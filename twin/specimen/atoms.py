"""Particles as atoms: the lattice in the pose's orientation, cut to the particle's shape, as an ``ase.Atoms``.

The cut is the same test as the thickness map (:mod:`twin.specimen.shapes`): an atom is kept when its height lies
between those at which the line through it enters and leaves the particle. Positions are in the laboratory, Å, the
particle's centre at the origin.

Arrays of the ``ase.Atoms`` beside numbers and positions: ``weight`` (1, or an occupancy), ``u_iso_angstrom2``,
``place`` (atoms that share a position share it), ``spread`` (n, 3, 3), a root of the covariance of the displacements
in Å, in the laboratory; tags are indices of ``crystal.sites``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import ase
import numpy as np
from numpy.typing import ArrayLike

from twin.model.crystal import Crystal
from twin.model.specimen import Particle
from twin.physics.lattice import Floats, Ints, direct_matrix
from twin.physics.multislice import AtomCloud
from twin.physics.structure_factors import expand_to_p1
from twin.specimen.shapes import body_axes, columns

Atoms = Any  # ase.Atoms, which has no types
Alloy = Literal["averaged", "drawn"]
_SAME_PLACE = 1e-4  # fractional


def particle_atoms(
    *,
    crystal: Crystal,
    particle: Particle,
    orientation: ArrayLike,
    alloy: Alloy = "averaged",
    centre_fract: Sequence[float] = (0.0, 0.0, 0.0),
    generator: np.random.Generator | None = None,
) -> Atoms:
    """Atoms of the particle under the beam.

    orientation: (3, 3) R · U, crystal frame to laboratory. centre_fract: the point of the cell at the particle's
    centre. alloy: "averaged" keeps every element of a shared position with its occupancy as weight; "drawn" puts one
    of them, or none, on each position, with ``generator``.
    """
    turn = np.asarray(orientation, dtype=np.float64)
    cell = expand_to_p1(crystal)
    direct = turn @ direct_matrix(crystal.cell)
    axes = turn @ body_axes(particle, crystal.cell)
    kind, cells = _candidates(crystal, cell.fract, particle, np.asarray(centre_fract, dtype=np.float64))
    place = _places(cell.fract)[kind] + len(cell.fract) * _numbered(cells)
    weight = cell.occupancy[kind]
    if alloy == "drawn":
        if generator is None:
            raise ValueError("an alloy can only be drawn with a generator")
        kept = _draw(place, weight, generator)  # before the cut: the same alloy in every orientation
        kind, cells, place, weight = kind[kept], cells[kept], place[kept], np.ones(len(kept))
    position = (cell.fract[kind] + cells - np.asarray(centre_fract)) @ direct.T
    cut = columns(particle=particle, axes_lab=axes, x_angstrom=position[:, 0], y_angstrom=position[:, 1])
    z = position[:, 2]
    inside = (cut.thickness_angstrom > 0) & (z >= cut.z_in_angstrom) & (z <= cut.z_out_angstrom)
    kind, position, place, weight = kind[inside], position[inside], place[inside], weight[inside]
    covariance = direct @ cell.u_star @ direct.T
    u_iso = np.array([np.trace(c) / 3.0 for c in covariance])
    atoms: Atoms = ase.Atoms(symbols=[cell.element[i] for i in kind], positions=position, tags=cell.site[kind])
    atoms.set_array("weight", weight)
    atoms.set_array("u_iso_angstrom2", np.round(u_iso, 12)[kind])
    atoms.set_array("place", np.unique(place, return_inverse=True)[1])
    atoms.set_array("spread", _roots(covariance)[kind])
    return atoms


def displaced(atoms: Atoms, generator: np.random.Generator) -> Atoms:
    """A frozen phonon: every position moved by its own Gaussian (Einstein model), U at rest afterwards.

    Elements that share a position move together.
    """
    place = atoms.get_array("place")
    normal = generator.standard_normal((int(place.max()) + 1, 3))
    moved = atoms.copy()
    moved.positions += np.einsum("nij,nj->ni", atoms.get_array("spread"), normal[place])
    moved.set_array("u_iso_angstrom2", np.zeros(len(atoms)))
    return moved


def stacked(particle: Atoms, film: Atoms, *, side: Literal["before", "behind"], gap_angstrom: float = 1.0) -> Atoms:
    """Particle and film together: the film ends ``gap_angstrom`` before the particle's first atom along the beam, or
    begins behind its last. The film keeps its x and y."""
    moved = film.copy()
    z, own = film.positions[:, 2], particle.positions[:, 2]
    shift = own.min() - gap_angstrom - z.max() if side == "before" else own.max() + gap_angstrom - z.min()
    moved.positions[:, 2] += shift
    moved.set_array("place", film.get_array("place") + int(particle.get_array("place").max()) + 1)
    return particle + moved


def atom_cloud(atoms: Atoms, *, centre_angstrom: Sequence[float] = (0.0, 0.0)) -> AtomCloud:
    """The atoms as arrays for :mod:`twin.physics.multislice`, the origin of x and y moved to ``centre_angstrom``.

    Elements with different U are different kinds.
    """
    symbols = np.array(atoms.get_chemical_symbols())
    u = atoms.get_array("u_iso_angstrom2")
    pairs = sorted(set(zip(symbols.tolist(), u.tolist(), strict=True)))
    number = {pair: i for i, pair in enumerate(pairs)}
    return AtomCloud(
        position_angstrom=atoms.positions + np.array([*centre_angstrom, 0.0]),
        element=np.array([number[pair] for pair in zip(symbols.tolist(), u.tolist(), strict=True)], dtype=np.int64),
        weight=np.asarray(atoms.get_array("weight"), dtype=np.float64),
        elements=tuple(element for element, _ in pairs),
        u_iso_angstrom2=tuple(float(value) for _, value in pairs),
    )


def _candidates(crystal: Crystal, fract: Floats, particle: Particle, centre: Floats) -> tuple[Ints, Ints]:
    """(index of the atom in the cell (n,), cell (n, 3)) of all atoms that might be inside, in any orientation."""
    direct, axes = direct_matrix(crystal.cell), body_axes(particle, crystal.cell)
    half = 5.0 * np.asarray(particle.size_nm, dtype=np.float64)
    reach = np.abs(np.linalg.inv(direct) @ axes) @ half
    low, high = np.floor(centre - reach - 1.0).astype(int), np.ceil(centre + reach).astype(int)
    edges = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    cells = np.stack(np.meshgrid(*edges, indexing="ij"), axis=-1).reshape(-1, 3)
    body = np.abs((cells + 0.5 - centre) @ (axes.T @ direct).T)
    diagonal = 0.5 * np.abs(axes.T @ direct).sum(axis=1)
    cells = cells[np.all(body <= half + diagonal, axis=1)]
    kind = np.tile(np.arange(len(fract)), len(cells))
    return kind, np.repeat(cells, len(fract), axis=0)


def _places(fract: Floats) -> Ints:
    """For each atom of the cell the first atom at the same position."""
    difference = fract[:, None, :] - fract[None, :, :]
    same = np.all(np.abs(difference - np.round(difference)) < _SAME_PLACE, axis=-1)
    return np.asarray(np.argmax(same, axis=1), dtype=np.int64)


def _numbered(cells: Ints) -> Ints:
    """A number for each cell."""
    span = cells.max(axis=0) - cells.min(axis=0) + 1
    return np.asarray(np.ravel_multi_index(tuple((cells - cells.min(axis=0)).T), tuple(span)), dtype=np.int64)


def _draw(place: Ints, occupancy: Floats, generator: np.random.Generator) -> Ints:
    """Indices of the atoms that are there: one, or none, of those that share a place."""
    order = np.argsort(place, kind="stable")
    _, first, group = np.unique(place[order], return_index=True, return_inverse=True)
    upper = np.cumsum(occupancy[order])
    lower = upper - occupancy[order]
    start = lower[first][group]
    dice = generator.random(len(first))[group]
    return np.asarray(np.sort(order[(dice >= lower - start) & (dice < upper - start)]), dtype=np.int64)


def _roots(covariance: Floats) -> Floats:
    """Symmetric square roots of (n, 3, 3) covariances; what is not positive counts as zero."""
    values, vectors = np.linalg.eigh(0.5 * (covariance + covariance.transpose(0, 2, 1)))
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]) @ vectors.transpose(0, 2, 1))
