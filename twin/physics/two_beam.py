"""The two-beam case in closed form, and Blackman's integral over its rocking curve.

ξ = K / |U_g| is the extinction distance; with w = s ξ,
|ψ_g|² = sin²(π t √(1 + w²) / ξ) / (1 + w²). With A = π t / ξ
∫ |ψ_g|² dw = (π/2) ∫_0^{2A} J_0(x) dx (Blackman, Proc. R. Soc. A 173 (1939) 68).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import itj0y0

from twin.physics.lattice import Floats


def extinction_distance_angstrom(*, potential: ArrayLike, wavenumber_per_angstrom: float) -> Floats:
    """ξ_g = K / |U_g| in Å for U_g in Å⁻²."""
    return np.asarray(wavenumber_per_angstrom / np.abs(np.asarray(potential)))


def two_beam_intensity(
    *, extinction_angstrom: ArrayLike, excitation_error: ArrayLike, thickness_angstrom: ArrayLike
) -> Floats:
    """|ψ_g|² of the diffracted beam; arguments broadcast."""
    xi = np.asarray(extinction_angstrom, dtype=np.float64)
    effective = np.sqrt(1.0 + (np.asarray(excitation_error, dtype=np.float64) * xi) ** 2)
    phase = np.pi * np.asarray(thickness_angstrom, dtype=np.float64) * effective / xi
    return np.asarray((np.sin(phase) / effective) ** 2)


def blackman_ratio(*, extinction_angstrom: ArrayLike, thickness_angstrom: ArrayLike) -> Floats:
    """Integrated two-beam intensity over the kinematical one: (1/2A) ∫_0^{2A} J_0(x) dx, A = π t / ξ."""
    a = np.pi * np.asarray(thickness_angstrom, dtype=np.float64) / np.asarray(extinction_angstrom, dtype=np.float64)
    x = np.maximum(2.0 * a, 1e-12)
    return np.asarray(itj0y0(x)[0] / x)


def blackman_integrated(*, extinction_angstrom: ArrayLike, thickness_angstrom: ArrayLike) -> Floats:
    """∫ |ψ_g|² ds over the whole rocking curve in Å⁻¹: π² t / ξ² times :func:`blackman_ratio`."""
    xi = np.asarray(extinction_angstrom, dtype=np.float64)
    kinematical = np.pi**2 * np.asarray(thickness_angstrom, dtype=np.float64) / xi**2
    ratio = blackman_ratio(extinction_angstrom=extinction_angstrom, thickness_angstrom=thickness_angstrom)
    return np.asarray(kinematical * ratio)
