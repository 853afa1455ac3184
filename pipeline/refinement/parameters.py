"""The free numbers of a structure as one vector, and structure factors with their exact derivatives by it.

Every site has eleven slots: x, y, z, occupancy, U_iso and the six of the tensor (U_iso or the tensor is idle). They are
an affine function of the free vector, v = offset + matrix · p, which holds site symmetry, shared positions, composition
and the fixed origin at once, and gives every slot a standard uncertainty from one covariance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.refinement.constraints import (
    composition_constraints,
    coordinate_basis,
    equivalent_isotropic,
    equivalent_row,
    isotropic_tensor,
    null_space,
    polar_directions,
    row_reduced_basis,
    shared_groups,
    snap_to_site,
    tensor_basis,
)
from pipeline.refinement.riding import U_FACTOR, Bond, hydrogen_bonds
from twin.model.crystal import Crystal, Site
from twin.physics.lattice import Floats
from twin.physics.symmetry import operations

Complexes = NDArray[np.complex128]
OccupancyModel = Literal["fixed", "composition", "free", "common"]
HydrogenModel = Literal["free", "riding", "fixed"]

SLOTS = ("x", "y", "z", "occupancy", "u_iso", "u11", "u22", "u33", "u12", "u13", "u23")
_WIDTH = len(SLOTS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parametrisation:
    """Map between a free vector p (P,) and a crystal.

    matrix: (11 · sites, P); offset: (11 · sites,); start: (P,) the values that give ``crystal``; names: one a
    parameter; stabiliser_orders: (sites,); anisotropic: (sites,) bool.
    """

    crystal: Crystal
    matrix: Floats
    offset: Floats
    start: Floats
    names: tuple[str, ...]
    stabiliser_orders: tuple[int, ...]
    anisotropic: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.names)

    def equivalent_u_row(self, site: int) -> Floats:
        """Row (11,) that makes U_eq of the attributes of a site."""
        return _equivalent(self.anisotropic[site], self.crystal)


def _initial_slots(site: Site, fract: Floats, crystal: Crystal, *, aniso: bool) -> Floats:
    slots = np.zeros(_WIDTH)
    slots[:3] = fract
    slots[3] = site.occupancy
    given = site.u_aniso_angstrom2
    if not aniso:
        slots[4] = (
            site.u_iso_angstrom2 if given is None else equivalent_isotropic(u_aniso_angstrom2=given, cell=crystal.cell)
        )
    elif given is None:
        slots[5:] = isotropic_tensor(u_iso_angstrom2=site.u_iso_angstrom2, cell=crystal.cell)
    else:
        slots[5:] = given
    return slots


def _occupancy_basis(
    *, model: OccupancyModel, crystal: Crystal, groups: tuple[tuple[int, ...], ...], orders: tuple[int, ...]
) -> tuple[Floats, tuple[int, ...]]:
    count = len(crystal.sites)
    if model == "fixed":
        return np.zeros((count, 0)), ()
    if model == "free":
        return np.eye(count), tuple(range(count))
    if model == "common":
        return np.array([[site.occupancy / crystal.sites[0].occupancy] for site in crystal.sites]), (0,)
    total = len(operations(crystal.hall))
    multiplicity = [total / order for order in orders]
    rows = composition_constraints(sites=crystal.sites, groups=groups, multiplicities=multiplicity)
    return row_reduced_basis(null_space(rows))


def _fix_origin(
    matrix: Floats, names: list[str], crystal: Crystal, *, groups: tuple[tuple[int, ...], ...], orders: tuple[int, ...]
) -> tuple[Floats, list[str]]:
    """Keep the mean position (weighted by number of atoms) along every polar direction where it is."""
    _, pivots = row_reduced_basis(polar_directions(crystal.hall))
    if not pivots or not names:
        return matrix, names
    weights = np.zeros((len(pivots), matrix.shape[0]))
    for group in groups:
        for row, axis in enumerate(pivots):
            weights[row, group[0] * _WIDTH + axis] = 1.0 / orders[group[0]]
    basis, kept = row_reduced_basis(null_space(weights @ matrix))
    return np.asarray(matrix @ basis), [names[i] for i in kept]


def parametrise(
    crystal: Crystal,
    *,
    anisotropic: bool | Iterable[str] = False,
    occupancy: OccupancyModel = "fixed",
    coordinates: bool = True,
    displacements: bool = True,
    hydrogens: HydrogenModel = "free",
    snap_angstrom: float = 0.1,
) -> Parametrisation:
    """Free parameters that symmetry leaves to ``crystal``.

    anisotropic: all sites, none, or the labels that get tensors. occupancy: "fixed"; "composition" (elements move
    between the positions that they share, each position stays as filled and each element as abundant as it is); "free";
    "common" (one factor for all, the strength of the interaction: a frame-wise refinement has its scales beside it, so
    the factor says how much multiple scattering the data show; Klar et al. (2023) set it near zero by hand).
    hydrogens: "riding" on the atom to which they are bonded, with 1.2 times its U_eq (those that are bonded to nothing
    are free), or "fixed" where and as they are.
    """
    if not crystal.sites:
        raise ValueError(f"model '{crystal.name}' has no atoms to refine")
    chosen = None if isinstance(anisotropic, bool) else set(anisotropic)
    bonds = hydrogen_bonds(crystal) if hydrogens == "riding" else ()
    riders = {bond.site for bond in bonds}
    held = riders | {i for i, s in enumerate(crystal.sites) if hydrogens == "fixed" and s.element in ("H", "D")}
    wants = [bool(anisotropic) if chosen is None else site.label in chosen for site in crystal.sites]
    wants = [want and i not in riders for i, want in enumerate(wants)]
    groups = shared_groups(crystal.sites, crystal.cell)
    count = len(crystal.sites)
    snapped = [np.zeros(3)] * count
    orders = [1] * count
    blocks: list[Floats] = []
    names: list[str] = []
    aniso = [False] * count
    for group in groups:
        first = crystal.sites[group[0]]
        fract, ops = snap_to_site(
            fract=first.fract, hall=crystal.hall, cell=crystal.cell, tolerance_angstrom=snap_angstrom
        )
        tensor = any(wants[i] for i in group)
        for i in group:
            snapped[i], orders[i], aniso[i] = fract, len(ops), tensor
        free = not held.intersection(group)
        if coordinates and free:
            basis, pivots = coordinate_basis(ops.rotations)
            blocks.append(_spread(basis, slots=range(0, 3), group=group, count=count))
            names += [f"{first.label}.{SLOTS[i]}" for i in pivots]
        if displacements and free:
            basis, pivots = tensor_basis(ops.rotations, crystal.cell) if tensor else (np.ones((1, 1)), (0,))
            start = 5 if tensor else 4
            blocks.append(_spread(basis, slots=range(start, start + len(basis)), group=group, count=count))
            names += [f"{first.label}.{SLOTS[start + i]}" for i in pivots]
    matrix = np.concatenate([np.zeros((count * _WIDTH, 0)), *blocks], axis=1)
    _ride(matrix, bonds, aniso, crystal)
    matrix, names = _fix_origin(matrix, names, crystal, groups=groups, orders=tuple(orders))
    basis, pivots = _occupancy_basis(model=occupancy, crystal=crystal, groups=groups, orders=tuple(orders))
    spread = np.zeros((count * _WIDTH, basis.shape[1]))
    spread[3::_WIDTH] = basis
    matrix = np.concatenate([matrix, spread], axis=1)
    names += [f"{crystal.sites[i].label}.occupancy" for i in pivots]
    values = np.concatenate(
        [_initial_slots(s, f, crystal, aniso=t) for s, f, t in zip(crystal.sites, snapped, aniso, strict=True)]
    )
    for bond in bonds:
        parent = values[bond.parent * _WIDTH : (bond.parent + 1) * _WIDTH]
        values[bond.site * _WIDTH + 4] = U_FACTOR * float(_equivalent(aniso[bond.parent], crystal) @ parent)
    return _complete(crystal, matrix, values, names=tuple(names), orders=tuple(orders), aniso=tuple(aniso))


def _ride(matrix: Floats, bonds: tuple[Bond, ...], aniso: list[bool], crystal: Crystal) -> None:
    """Give hydrogens (in place) the shifts of their parents' images, and 1.2 times the change of their U_eq."""
    for bond in bonds:
        own, parent = bond.site * _WIDTH, bond.parent * _WIDTH
        matrix[own : own + 3] = bond.rotation @ matrix[parent : parent + 3]
        matrix[own + 4] = U_FACTOR * _equivalent(aniso[bond.parent], crystal) @ matrix[parent : parent + _WIDTH]


def _equivalent(tensor: bool, crystal: Crystal) -> Floats:
    """Row (11,) that makes U_eq of the attributes of a site."""
    row = np.zeros(_WIDTH)
    if tensor:
        row[5:] = equivalent_row(crystal.cell)
    else:
        row[4] = 1.0
    return row


def _spread(basis: Floats, *, slots: range, group: tuple[int, ...], count: int) -> Floats:
    out = np.zeros((count * _WIDTH, basis.shape[1]))
    for site in group:
        out[site * _WIDTH + np.array(slots)] = basis
    return out


def _complete(
    crystal: Crystal,
    matrix: Floats,
    values: Floats,
    *,
    names: tuple[str, ...],
    orders: tuple[int, ...],
    aniso: tuple[bool, ...],
) -> Parametrisation:
    slot = {f"{s.label}.{name}": i * _WIDTH + j for i, s in enumerate(crystal.sites) for j, name in enumerate(SLOTS)}
    start = np.array([values[slot[name]] for name in names])
    projected = matrix @ np.linalg.lstsq(matrix, values, rcond=None)[0] if len(names) else np.zeros_like(values)
    for block in (slice(4, 5), slice(5, 11)):  # displacements obey their constraints exactly
        for i in range(len(crystal.sites)):
            rows = slice(i * _WIDTH + block.start, i * _WIDTH + block.stop)
            if np.any(matrix[rows]):
                values[rows] = projected[rows]
    start = np.array([values[slot[name]] for name in names])
    draft = Parametrisation(
        crystal=crystal,
        matrix=matrix,
        offset=values - matrix @ start,
        start=start,
        names=names,
        stabiliser_orders=orders,
        anisotropic=aniso,
    )
    return replace(draft, crystal=crystal_of(draft, start))


def slots_of(parametrisation: Parametrisation, values: ArrayLike) -> Floats:
    """All attributes, (sites, 11), in the order of ``SLOTS``."""
    p = np.asarray(values, dtype=np.float64)
    return np.asarray((parametrisation.offset + parametrisation.matrix @ p).reshape(-1, _WIDTH))


def crystal_of(parametrisation: Parametrisation, values: ArrayLike) -> Crystal:
    """The crystal that belongs to the free vector ``values`` (P,)."""
    crystal = parametrisation.crystal
    sites = []
    for site, row, tensor in zip(
        crystal.sites, slots_of(parametrisation, values).tolist(), parametrisation.anisotropic, strict=True
    ):
        u = (row[5], row[6], row[7], row[8], row[9], row[10])
        u_iso = equivalent_isotropic(u_aniso_angstrom2=u, cell=crystal.cell) if tensor else row[4]
        sites.append(
            replace(
                site,
                fract=(row[0], row[1], row[2]),
                occupancy=row[3],
                u_iso_angstrom2=u_iso,
                u_aniso_angstrom2=u if tensor else None,
            )
        )
    return replace(crystal, sites=tuple(sites))


def standard_uncertainties(parametrisation: Parametrisation, covariance: ArrayLike) -> dict[str, float]:
    """s.u. of every attribute that can vary, by name ('O1.x'), from the covariance (P, P) of the free vector.

    Sites with a tensor also get the s.u. of their equivalent U_iso. Attributes that depend on a parameter that the data
    do not determine (infinite variance) are left out.
    """
    cov = np.asarray(covariance, dtype=np.float64)
    lost = ~np.isfinite(np.diag(cov))
    cov = np.where(lost[:, None] | lost[None, :], 0.0, cov)
    unknown = np.any(parametrisation.matrix[:, lost], axis=1)
    variance = np.einsum("ip,pq,iq->i", parametrisation.matrix, cov, parametrisation.matrix)
    out: dict[str, float] = {}
    row = equivalent_row(parametrisation.crystal.cell)
    for i, site in enumerate(parametrisation.crystal.sites):
        for j, name in enumerate(SLOTS):
            if np.any(parametrisation.matrix[i * _WIDTH + j]) and not unknown[i * _WIDTH + j]:
                out[f"{site.label}.{name}"] = math.sqrt(max(0.0, float(variance[i * _WIDTH + j])))
        if parametrisation.anisotropic[i] and not unknown[i * _WIDTH + 5 : (i + 1) * _WIDTH].any():
            combined = row @ parametrisation.matrix[i * _WIDTH + 5 : (i + 1) * _WIDTH]
            out[f"{site.label}.u_iso"] = math.sqrt(max(0.0, float(combined @ cov @ combined)))
    return out


def correlation(covariance: ArrayLike) -> Floats:
    """Correlation matrix of a covariance."""
    cov = np.asarray(covariance, dtype=np.float64)
    sigma = np.sqrt(np.clip(np.diag(cov), 1e-300, None))
    return np.asarray(cov / np.outer(sigma, sigma))
