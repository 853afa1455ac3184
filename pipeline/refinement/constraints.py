"""Linear constraints on the numbers of a structure: site symmetry, shared positions, composition, floating origin.

A position on a symmetry element obeys x = R x + t for every operation of its stabiliser. The mean of the R is the
projector on the directions in which it may move, and the same mean in the six-dimensional space of symmetric tensors
is the projector on the allowed displacement tensors (Peterse & Palm, Acta Cryst. 20 (1966) 147; International Tables D,
chapter 1.9). The row-reduced basis of its range names the free parameters by the numbers that they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from twin.model.crystal import Cell, Site
from twin.physics.lattice import Floats, Ints, direct_matrix, reciprocal_matrix
from twin.physics.symmetry import Operations, operations, primitive_operations

TENSOR_INDICES = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # U11 U22 U33 U12 U13 U23
_ZERO = 1e-8


def row_reduced_basis(vectors: ArrayLike, *, tolerance: float = _ZERO) -> tuple[Floats, tuple[int, ...]]:
    """Basis (n, k) of the span of the columns of ``vectors`` (n, m), with a unit matrix in the k pivot rows.

    Reduced echelon form of the transpose with partial pivoting: the first possible rows become pivots, so a
    coefficient of the basis *is* the value of the pivot component.
    """
    rows = np.array(vectors, dtype=np.float64).T.copy()
    pivots: list[int] = []
    for column in range(rows.shape[1]):
        rank = len(pivots)
        if rank == rows.shape[0]:
            break
        best = rank + int(np.argmax(np.abs(rows[rank:, column])))
        if abs(rows[best, column]) < tolerance:
            continue
        rows[[rank, best]] = rows[[best, rank]]
        rows[rank] /= rows[rank, column]
        others = np.arange(len(rows)) != rank
        rows[others] -= np.outer(rows[others, column], rows[rank])
        pivots.append(column)
    basis = rows[: len(pivots)].T
    return np.where(np.abs(basis) < 1e-10, 0.0, basis), tuple(pivots)


def null_space(matrix: ArrayLike, *, tolerance: float = 1e-9) -> Floats:
    """Orthonormal basis (n, k) of the vectors that ``matrix`` (m, n) takes to zero."""
    a = np.atleast_2d(np.asarray(matrix, dtype=np.float64))
    if a.shape[0] == 0:
        return np.eye(a.shape[1])
    _, singular, vt = np.linalg.svd(a)
    rank = int(np.sum(singular > tolerance * max(1.0, singular[0] if len(singular) else 0.0)))
    return np.asarray(vt[rank:].T)


def snap_to_site(
    *, fract: ArrayLike, hall: str, cell: Cell, tolerance_angstrom: float = 0.1
) -> tuple[Floats, Operations]:
    """The nearest exact position and its stabiliser (translations with the lattice part folded in).

    Operations that move ``fract`` by less than ``tolerance_angstrom`` count; the set is closed by repeating the test at
    the mean of the images.
    """
    x = np.asarray(fract, dtype=np.float64)
    ops = operations(hall)
    matrix = direct_matrix(cell)
    count = -1
    fixed = np.zeros(len(ops), dtype=bool)
    shift = lattice = np.zeros((len(ops), 3))
    for _ in range(8):
        shift = ops.rotations @ x + ops.translations - x
        lattice = np.round(shift)
        fixed = np.linalg.norm((shift - lattice) @ matrix.T, axis=1) < tolerance_angstrom
        x = x + (shift - lattice)[fixed].mean(axis=0)
        if fixed.sum() == count:
            break
        count = int(fixed.sum())
    folded = Operations(rotations=ops.rotations[fixed], translations=(ops.translations - lattice)[fixed])
    return x, folded


def coordinate_basis(rotations: Ints) -> tuple[Floats, tuple[int, ...]]:
    """Free directions (3, k) of a position whose stabiliser has these rotation parts (n, 3, 3), and their pivots."""
    return row_reduced_basis(np.asarray(rotations, dtype=np.float64).mean(axis=0))


def tensor_rotation(rotations: Ints) -> Floats:
    """(n, 6, 6): what u* -> R u* Rᵀ does to (u11, u22, u33, u12, u13, u23)."""
    r = np.asarray(rotations, dtype=np.float64)
    columns = []
    for i, j in TENSOR_INDICES:
        unit = np.zeros((3, 3))
        unit[i, j] = unit[j, i] = 1.0
        turned = r @ unit @ r.transpose(0, 2, 1)
        columns.append(np.stack([turned[:, a, b] for a, b in TENSOR_INDICES], axis=1))
    return np.stack(columns, axis=2)


def tensor_basis(rotations: Ints, cell: Cell) -> tuple[Floats, tuple[int, ...]]:
    """Allowed displacement tensors (6, k) in the CIF convention for a stabiliser, and their pivots."""
    lengths = np.linalg.norm(reciprocal_matrix(cell), axis=0)
    scale = np.array([lengths[i] * lengths[j] for i, j in TENSOR_INDICES])
    projector = tensor_rotation(rotations).mean(axis=0)
    return row_reduced_basis(projector * scale[None, :] / scale[:, None])


def isotropic_tensor(*, u_iso_angstrom2: float, cell: Cell) -> Floats:
    """The CIF tensor (6,) of an isotropic displacement: U_ij = U (a*_i·a*_j) / (|a*_i| |a*_j|)."""
    b = reciprocal_matrix(cell)
    lengths = np.linalg.norm(b, axis=0)
    metric = b.T @ b / np.outer(lengths, lengths)
    return np.array([u_iso_angstrom2 * metric[i, j] for i, j in TENSOR_INDICES])


def equivalent_isotropic(*, u_aniso_angstrom2: ArrayLike, cell: Cell) -> float:
    """U_eq = a third of the trace of U in Cartesian axes (Fischer & Tillmanns, Acta Cryst. C44 (1988) 775)."""
    return float(equivalent_row(cell) @ np.asarray(u_aniso_angstrom2, dtype=np.float64))


def equivalent_row(cell: Cell) -> Floats:
    """(6,) coefficients that take a CIF tensor to its U_eq."""
    lengths = np.linalg.norm(reciprocal_matrix(cell), axis=0)
    a = direct_matrix(cell)
    metric = a.T @ a
    return np.array(
        [metric[i, j] * lengths[i] * lengths[j] * (1.0 if i == j else 2.0) / 3.0 for i, j in TENSOR_INDICES]
    )


def shared_groups(
    sites: tuple[Site, ...], cell: Cell, *, tolerance_angstrom: float = 0.02
) -> tuple[tuple[int, ...], ...]:
    """Indices of the sites, grouped by position: the elements of one group share coordinates and displacements."""
    matrix = direct_matrix(cell)
    groups: list[list[int]] = []
    for index, site in enumerate(sites):
        for group in groups:
            difference = np.subtract(site.fract, sites[group[0]].fract)
            if np.linalg.norm(matrix @ (difference - np.round(difference))) < tolerance_angstrom:
                group.append(index)
                break
        else:
            groups.append([index])
    return tuple(tuple(g) for g in groups)


def composition_constraints(
    *, sites: tuple[Site, ...], groups: tuple[tuple[int, ...], ...], multiplicities: ArrayLike
) -> Floats:
    """Rows (m, sites) that stay constant: each position's total filling, each element's amount in the cell.

    Sites that stand alone on their position keep their occupancy.
    """
    count = len(sites)
    multiplicity = np.asarray(multiplicities, dtype=np.float64)
    rows = []
    for group in groups:
        row = np.zeros(count)
        row[list(group)] = 1.0
        rows.append(row)
    for element in dict.fromkeys(site.element for site in sites):
        rows.append(np.where([site.element == element for site in sites], multiplicity, 0.0))
    return np.array(rows)


def polar_directions(hall: str) -> Floats:
    """Directions (3, k) along which the origin floats: the vectors that every rotation part leaves alone."""
    return coordinate_basis(primitive_operations(hall).rotations)[0]
