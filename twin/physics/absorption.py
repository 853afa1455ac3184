"""Absorption by thermal diffuse scattering: Einstein model, first-order optical potential.

An atom that vibrates independently of its neighbours scatters σ = γ²λ² ∫ f(q)² (1 − T(q)²) d²q out of the Bragg
beams; the potential that removes just these electrons has the form factor (Hall & Hirsch, Proc. R. Soc. A 286 (1965)
158; Bird & King, Acta Cryst. A46 (1990) 202; Weickenmeier & Kohl, Acta Cryst. A47 (1991) 590)

    f'(g) = (γλ/2) ∫ f(q) f(g − q) [T(g) − T(q) T(g − q)] d²q,

on the scale of f (Å, rest mass; the temperature factor is inside). U'_g = γ conj(F'_g) / (πΩ) as for U_g, and the
intensity decays as exp(−2πU'_0 z / K) = exp(−z Σσ/Ω). For f = Σ a exp(−b q²/4) and T = exp(−2π²U q²) the integral is a
sum of Gaussians. The Gaussians of table 4.3.2.2 hold to q = 4 Å⁻¹; the wider tail is left out (see docs/theory.md).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.model.crystal import Crystal, Site
from twin.physics.electrons import relativistic_gamma, wavelength_angstrom
from twin.physics.lattice import Floats, cell_volume_angstrom3, reciprocal_matrix
from twin.physics.structure_factors import _gaussians, expand_to_p1

Complexes = NDArray[np.complex128]


def equivalent_u_angstrom2(site: Site) -> float:
    """U_iso, or its equivalent value when the site is anisotropic."""
    return float(site.u_iso_angstrom2)


def absorptive_factor(*, element: str, g_per_angstrom: ArrayLike, u_angstrom2: float, energy_kev: float) -> Floats:
    """f'(|g|) in Å (rest-mass scale, temperature factor inside); shape of ``g_per_angstrom``."""
    a, b = _gaussians(element)
    g2 = np.asarray(g_per_angstrom, dtype=np.float64) ** 2
    weight = np.multiply.outer(a, a).ravel()
    total = np.zeros_like(g2)
    thermal = 8.0 * math.pi**2 * u_angstrom2
    for widths, damping in ((b, np.exp(-0.25 * thermal * g2)), (b + thermal, -1.0)):
        plus = np.add.outer(widths, widths).ravel()
        times = np.multiply.outer(widths, widths).ravel()
        terms = np.exp(-0.25 * np.multiply.outer(g2, times / plus)) @ (weight * 4.0 * math.pi / plus)
        total = total + damping * terms
    gamma = relativistic_gamma(energy_kev=energy_kev)
    return np.asarray(0.5 * gamma * wavelength_angstrom(energy_kev=energy_kev) * total)


def absorptive_structure_factors(*, crystal: Crystal, hkl: ArrayLike, energy_kev: float) -> Complexes:
    """F'(h) in Å for hkl (n, 3); mean square displacements are taken as isotropic (their equivalent value)."""
    h = np.asarray(hkl, dtype=np.float64).reshape(-1, 3)
    g = np.linalg.norm(h @ reciprocal_matrix(crystal.cell).T, axis=1)
    atoms = expand_to_p1(crystal)
    total = np.zeros(len(h), dtype=np.complex128)
    for index, site in enumerate(crystal.sites):
        own = atoms.fract[atoms.site == index]
        factor = absorptive_factor(
            element=site.element, g_per_angstrom=g, u_angstrom2=equivalent_u_angstrom2(site), energy_kev=energy_kev
        )
        total += site.occupancy * factor * np.exp(2j * math.pi * (h @ own.T)).sum(axis=1)
    return total


def absorptive_potential_coefficients(*, crystal: Crystal, hkl: ArrayLike, energy_kev: float) -> Complexes:
    """U'_g in Å⁻², hkl (n, 3) -> complex (n,); i U' is added to U."""
    volume = cell_volume_angstrom3(crystal.cell)
    factor = relativistic_gamma(energy_kev=energy_kev) / (math.pi * volume)
    return np.asarray(factor * np.conj(absorptive_structure_factors(crystal=crystal, hkl=hkl, energy_kev=energy_kev)))


def mean_free_path_angstrom(*, crystal: Crystal, energy_kev: float) -> float:
    """1/(Σσ/Ω) = K / (2πU'_0): distance in which thermal diffuse scattering takes 1 − 1/e of the electrons."""
    origin = absorptive_potential_coefficients(crystal=crystal, hkl=[[0, 0, 0]], energy_kev=energy_kev)[0].real
    return float(1.0 / (2.0 * math.pi * origin * wavelength_angstrom(energy_kev=energy_kev)))
