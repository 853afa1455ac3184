"""Amorphous supports: how much they scatter into rings, on the absolute scale, and how much they leave.

Independent atoms times an interference function: dσ/dΩ = γ² f(q)² S(q) per atom, dΩ = λ² d²q, so that a layer with
n atoms per area scatters n γ²λ² f² S electrons per unit area of reciprocal space and incident electron (Reimer & Kohl,
Transmission Electron Microscopy (2008), chapter 5). S(q) is a small sum of broad rings that goes to 1 at high q and
to a low plateau at q → 0, where dense matter scatters little. Electrons of the direct beam that lose energy spread as
1/(q² + q_E²) up to the Bethe ridge (Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope (2011),
chapter 3); those of spots and rings stay where they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import constants

from twin.model.specimen import Membrane
from twin.physics.electrons import relativistic_gamma, wavelength_angstrom
from twin.physics.lattice import Floats
from twin.physics.structure_factors import electron_factor

_DALTON_G = constants.physical_constants["atomic mass constant"][0] * 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Amorphous:
    """Composition per formula unit, density, and S(q): rings (centre, standard deviation, height), q in Å⁻¹."""

    elements: tuple[tuple[str, float], ...]
    formula_mass_dalton: float
    density_g_cm3: float
    rings: tuple[tuple[float, float, float], ...]
    forward: float  # S at q → 0
    forward_width_per_angstrom: float
    inelastic_nm: tuple[float, float]  # mean free paths at 120 and 200 kV (Malis et al., ±20 %)
    plasmon_ev: float


# Carbon: density 1.75 g/cm3 (Wanner 2006), rings near 0.49 and 0.85 1/A. Ice: low-density amorphous, 0.94 g/cm3
# (PMC7569672), rings at 3.7 A and near 0.46 1/A. Widths, heights and plateaus are assumptions.
MATERIALS = {
    "carbon": Amorphous(
        elements=(("C", 1.0),),
        formula_mass_dalton=12.011,
        density_g_cm3=1.75,
        rings=((0.49, 0.060, 0.55), (0.85, 0.085, 0.35)),
        forward=0.15,
        forward_width_per_angstrom=0.22,
        inelastic_nm=(111.0, 143.0),
        plasmon_ev=22.3,
    ),
    "ice": Amorphous(
        elements=(("O", 1.0), ("H", 2.0)),
        formula_mass_dalton=18.015,
        density_g_cm3=0.94,
        rings=((0.270, 0.028, 1.10), (0.46, 0.055, 0.30)),
        forward=0.15,
        forward_width_per_angstrom=0.15,
        inelastic_nm=(122.0, 158.0),
        plasmon_ev=18.5,
    ),
}


def interference(material: Amorphous, q_per_angstrom: ArrayLike) -> Floats:
    """S(q); shape of q."""
    q = np.asarray(q_per_angstrom, dtype=np.float64)
    s = 1.0 - (1.0 - material.forward) * np.exp(-((q / material.forward_width_per_angstrom) ** 2))
    for centre, width, height in material.rings:
        s = s + height * np.exp(-0.5 * ((q - centre) / width) ** 2)
    return np.asarray(s)


def scattered_fraction_density(*, membrane: Membrane, q_per_angstrom: ArrayLike, energy_kev: float) -> Floats:
    """Electrons scattered once, per incident electron and per Å⁻² of reciprocal area at |q|; shape of q."""
    q = np.asarray(q_per_angstrom, dtype=np.float64)
    if membrane.material == "none" or membrane.thickness_nm == 0.0:
        return np.zeros_like(q)
    return _mean_free_path_scale(membrane) * _cross_section(membrane.material, q, energy_kev)


def transmitted_fraction(*, membrane: Membrane, energy_kev: float) -> float:
    """exp(−t/Λ): what the layer does not scatter elastically."""
    return math.exp(-scattered_mean(membrane=membrane, energy_kev=energy_kev))


def scattered_mean(*, membrane: Membrane, energy_kev: float) -> float:
    """t/Λ, the mean number of elastic events per electron."""
    q = _radial_nodes()
    density = scattered_fraction_density(membrane=membrane, q_per_angstrom=q, energy_kev=energy_kev)
    return float(np.trapezoid(density * 2 * np.pi * q, q))


def mean_free_path_nm(*, membrane: Membrane, energy_kev: float) -> float:
    """Elastic mean free path Λ of the material in nm."""
    return membrane.thickness_nm / scattered_mean(membrane=membrane, energy_kev=energy_kev)


def inelastic_fraction(*, membrane: Membrane, energy_kev: float) -> float:
    """1 − exp(−t/λ): electrons that lose energy in the layer; λ linear in β² between the two tabulated voltages."""
    if membrane.material == "none":
        return 0.0
    slow, low, high = (1.0 - relativistic_gamma(energy_kev=e) ** -2 for e in (energy_kev, 120.0, 200.0))
    at_120, at_200 = MATERIALS[membrane.material].inelastic_nm
    path = at_120 + (at_200 - at_120) * (slow - low) / (high - low)
    return 1.0 - math.exp(-membrane.thickness_nm / path)


def inelastic_profile(
    *, membrane: Membrane, q_per_angstrom: ArrayLike, energy_kev: float, blur_per_angstrom: float
) -> Floats:
    """Where they go, per Å⁻²; 1 over the plane when summed on ``q_per_angstrom`` (ascending from 0).

    θ_E = E / γmv², ridge at √(2θ_E) with a soft end; ``blur_per_angstrom``: width of disc and pixel, which rounds
    the centre.
    """
    q = np.asarray(q_per_angstrom, dtype=np.float64)
    if membrane.material == "none":
        return np.zeros_like(q)
    gamma = relativistic_gamma(energy_kev=energy_kev)
    kinetic_kev = 510.99895 * (gamma - 1.0 / gamma)  # γ m v²
    theta = 1e-3 * MATERIALS[membrane.material].plasmon_ev / kinetic_kev
    k = 1.0 / wavelength_angstrom(energy_kev=energy_kev)
    profile = np.exp(-((q / (k * math.sqrt(2.0 * theta))) ** 2)) / (q**2 + (k * theta) ** 2 + blur_per_angstrom**2)
    return np.asarray(profile / np.trapezoid(profile * 2 * np.pi * q, q))


def _radial_nodes() -> Floats:
    return np.linspace(0.0, 6.0, 1201)


def _mean_free_path_scale(membrane: Membrane) -> float:
    """Formula units per Å² of the layer."""
    material = MATERIALS[membrane.material]
    per_angstrom3 = material.density_g_cm3 / (material.formula_mass_dalton * _DALTON_G) * 1e-24
    return per_angstrom3 * membrane.thickness_nm * 10.0


def _cross_section(name: str, q: Floats, energy_kev: float) -> Floats:
    """γ²λ² S(q) Σ n f(q)² of a formula unit, Å² per Å⁻²."""
    material = MATERIALS[name]
    factor = (relativistic_gamma(energy_kev=energy_kev) * wavelength_angstrom(energy_kev=energy_kev)) ** 2
    squares = sum(count * electron_factor(element, 0.25 * q**2) ** 2 for element, count in material.elements)
    return np.asarray(factor * interference(material, q) * squares)
