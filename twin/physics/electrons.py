"""Relativistic electrons: wavelength, mass factor, interaction.

Sources: CODATA 2018 constants (scipy.constants); formulas in Reimer & Kohl, Transmission Electron Microscopy (2008),
chapter 2.
"""

from __future__ import annotations

import math

from scipy import constants

_H, _M, _E, _C = constants.h, constants.m_e, constants.e, constants.c
BOHR_RADIUS_ANGSTROM = constants.physical_constants["Bohr radius"][0] * 1e10


def relativistic_gamma(*, energy_kev: float) -> float:
    """Lorentz factor γ = 1 + eV / m c² of an electron after ``energy_kev`` of acceleration."""
    return 1.0 + energy_kev * 1e3 * _E / (_M * _C**2)


def wavelength_angstrom(*, energy_kev: float) -> float:
    """De Broglie wavelength λ = h / √(2 m eV (1 + eV / 2mc²)) in Å."""
    energy = energy_kev * 1e3 * _E
    return _H / math.sqrt(2 * _M * energy * (1 + energy / (2 * _M * _C**2))) * 1e10


def wavenumber_per_angstrom(*, energy_kev: float) -> float:
    """k = 1/λ in Å⁻¹ (no 2π)."""
    return 1.0 / wavelength_angstrom(energy_kev=energy_kev)


def energy_kev_of_wavelength(wavelength: float) -> float:
    """Accelerating voltage in kV of electrons with a wavelength in Å: eV = √((hc/λ)² + (mc²)²) − mc²."""
    rest = _M * _C**2
    return (math.hypot(_H * _C / (wavelength * 1e-10), rest) - rest) / _E * 1e-3
