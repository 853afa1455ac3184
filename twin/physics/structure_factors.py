"""Atoms of the whole cell and their structure factors for electrons.

F(h) = Σ f o T exp(+2πi h·x), f from International Tables C table 4.3.2.2 (gemmi's c4322; rest-mass values in Å),
T = exp(−2π² hᵀ U* h) with U*_ij = a*_i a*_j U_ij (Trueblood et al., Acta Cryst. A52 (1996) 770).
U_g = γ conj(F_g) / (π Ω): see docs/conventions.md for the sign.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.model.crystal import Cell, Crystal, Site
from twin.physics.electrons import relativistic_gamma
from twin.physics.lattice import Floats, Ints, cell_volume_angstrom3, reciprocal_matrix
from twin.physics.symmetry import operations, orbit_with_operations

Complexes = NDArray[np.complex128]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class P1Atoms:
    """Every atom of the cell: element (n,), fract (n, 3), occupancy (n,), u_star (n, 3, 3),

    ``site``: index into ``crystal.sites``; ``operation``: index into ``operations(crystal.hall)`` that made the atom.
    """

    element: tuple[str, ...]
    fract: Floats
    occupancy: Floats
    u_star: Floats
    site: Ints
    operation: Ints


@lru_cache(maxsize=256)
def _gaussians(element: str) -> tuple[Floats, Floats]:
    coefficients = gemmi.Element(element).c4322
    if coefficients is None:
        raise ValueError(f"no electron scattering factor in International Tables C 4.3.2.2 for element '{element}'")
    return np.array(coefficients.a, dtype=np.float64), np.array(coefficients.b, dtype=np.float64)


def gaussian_factors(element: str) -> tuple[Floats, Floats]:
    """(a (5,) in Å, b (5,) in Å²) of f(s) = Σ a exp(−b s²), rest mass; copies."""
    a, b = _gaussians(element)
    return a.copy(), b.copy()


def electron_factor(element: str, s2: ArrayLike) -> Floats:
    """f(s) in Å (rest mass) at s² = (sin θ/λ)² = |g|²/4 in Å⁻²; shape of ``s2``."""
    a, b = _gaussians(element)
    return np.asarray(np.exp(-np.multiply.outer(np.asarray(s2, dtype=np.float64), b)) @ a)


def u_star(site: Site, cell: Cell) -> Floats:
    """(3, 3) tensor of the exponent T = exp(−2π² hᵀ U* h)."""
    b = reciprocal_matrix(cell)
    if site.u_aniso_angstrom2 is None:
        return np.asarray(site.u_iso_angstrom2 * b.T @ b)
    u11, u22, u33, u12, u13, u23 = site.u_aniso_angstrom2
    lengths = np.linalg.norm(b, axis=0)
    return np.asarray(np.array([[u11, u12, u13], [u12, u22, u23], [u13, u23, u33]]) * np.outer(lengths, lengths))


def expand_to_p1(crystal: Crystal) -> P1Atoms:
    """All atoms of one cell."""
    elements: list[str] = []
    fract, occupancy, tensors, site_index, operation_index = [], [], [], [], []
    rotations = operations(crystal.hall).rotations
    for index, site in enumerate(crystal.sites):
        images, ops = orbit_with_operations(site.fract, crystal.hall)
        tensor = u_star(site, crystal.cell)
        elements += [site.element] * len(images)
        fract.append(images)
        occupancy.append(np.full(len(images), site.occupancy))
        tensors.append(rotations[ops] @ tensor @ rotations[ops].transpose(0, 2, 1))
        site_index.append(np.full(len(images), index))
        operation_index.append(ops)
    return P1Atoms(
        element=tuple(elements),
        fract=np.concatenate(fract),
        occupancy=np.concatenate(occupancy),
        u_star=np.concatenate(tensors),
        site=np.concatenate(site_index),
        operation=np.concatenate(operation_index),
    )


def site_contributions(*, crystal: Crystal, hkl: ArrayLike) -> Complexes:
    """Geometric part of each site: Σ over its atoms of T exp(2πi h·x), without f and occupancy; (sites, n)."""
    h = np.asarray(hkl, dtype=np.float64).reshape(-1, 3)
    atoms = expand_to_p1(crystal)
    total = np.zeros((len(crystal.sites), len(h)), dtype=np.complex128)
    for index, site in enumerate(crystal.sites):
        own = np.flatnonzero(atoms.site == index)
        phase = np.exp(2j * math.pi * (h @ atoms.fract[own].T))
        if site.u_aniso_angstrom2 is None:
            damp = np.exp(-2 * math.pi**2 * np.einsum("ni,ij,nj->n", h, atoms.u_star[own[0]], h))
            total[index] = phase.sum(axis=1) * damp
        else:
            exponent = np.einsum("ni,aij,nj->na", h, atoms.u_star[own], h)
            total[index] = (phase * np.exp(-2 * math.pi**2 * exponent)).sum(axis=1)
    return total


def structure_factors(*, crystal: Crystal, hkl: ArrayLike) -> Complexes:
    """F(h) in Å (rest mass) for hkl (n, 3) -> complex (n,)."""
    h = np.asarray(hkl, dtype=np.float64).reshape(-1, 3)
    s2 = 0.25 * np.sum((h @ reciprocal_matrix(crystal.cell).T) ** 2, axis=1)
    geometry = site_contributions(crystal=crystal, hkl=h)
    factors = np.stack([site.occupancy * electron_factor(site.element, s2) for site in crystal.sites])
    return np.asarray(np.sum(factors * geometry, axis=0))


def potential_coefficients(*, crystal: Crystal, hkl: ArrayLike, energy_kev: float) -> Complexes:
    """U_g = γ conj(F_g) / (π Ω) in Å⁻²; hkl (n, 3) -> complex (n,)."""
    volume = cell_volume_angstrom3(crystal.cell)
    factor = relativistic_gamma(energy_kev=energy_kev) / (math.pi * volume)
    return np.asarray(factor * np.conj(structure_factors(crystal=crystal, hkl=hkl)))
