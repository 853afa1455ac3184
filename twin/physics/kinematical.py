"""Single scattering, in the layout and on the scale of the many-beam engine.

First Born term of dψ/dz = (iπ/K_n) A ψ: ψ_g(t) = (iπ U_g / K_n) t sinc(s t) exp(iπ s t), with sinc(x) = sin πx / πx
and s = s_g K / K_n; the direct beam keeps amplitude 1. Intensities: (π|U_g| t / K_n)² sinc²(s t) (Hirsch et al.,
Electron Microscopy of Thin Crystals (1965), chapter 4). The integral over s is (π|U_g|/K_n)² t.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.physics.lattice import Floats


def kinematical_amplitudes(
    *,
    potential: ArrayLike,
    excitation_error: ArrayLike,
    wavenumber_per_angstrom: float,
    thickness_angstrom: ArrayLike,
    normal_wavenumber_per_angstrom: float | None = None,
    first_is_direct_beam: bool = True,
) -> NDArray[np.complex128]:
    """Amplitudes (J, N, S) of beams with U_g ``potential`` (N,) Å⁻² and s_g (N, S) Å⁻¹ at thickness (J,) Å."""
    u = np.asarray(potential)[None, :, None]
    s = np.atleast_2d(np.asarray(excitation_error, dtype=np.float64))[None, :, :]
    t = np.atleast_1d(np.asarray(thickness_angstrom, dtype=np.float64))[:, None, None]
    k_n = normal_wavenumber_per_angstrom or wavenumber_per_angstrom
    st = s * (wavenumber_per_angstrom / k_n) * t
    psi = (1j * np.pi / k_n) * u * t * np.sinc(st) * np.exp(1j * np.pi * st)
    if first_is_direct_beam:
        psi[:, 0, :] = 1.0
    return np.asarray(psi)


def kinematical_integrated(
    *, potential: ArrayLike, wavenumber_per_angstrom: float, thickness_angstrom: ArrayLike
) -> Floats:
    """∫ |ψ_g|² ds over the whole rocking curve, in Å⁻¹; (J, N)."""
    u2 = np.abs(np.asarray(potential)) ** 2
    t = np.atleast_1d(np.asarray(thickness_angstrom, dtype=np.float64))
    return np.asarray((np.pi / wavenumber_per_angstrom) ** 2 * u2[None, :] * t[:, None])
