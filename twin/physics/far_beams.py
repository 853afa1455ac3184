"""Beams far from the Ewald sphere, as a perturbation of those near it.

A beam w with |2K s_w| ≫ |U| obeys ψ_w(t) = (iπ/K) ∫ exp(2πi s_w (t − z)) F_w(z) dz, F_w = Σ_h U_{w−h} ψ_h. By parts,
and with the mean slope of F_w for its derivative (exact for F_w linear in z, so that thin crystals are right too),

    ψ_w(t) = −[F_w(t) − F_w(0) eˣ − (F_w(t) − F_w(0)) (eˣ − 1)/x] / 2K s_w,    x = 2πi s_w t, F_w(0) = U_w

(the mean potential's phase and decay aside), and what it hands back to the near beams is the potential of Bethe (Ann.
Phys. 87 (1928) 55; Zuo & Weickenmeier, Ultramicroscopy 57 (1995) 375)

    ΔU_gh = −Σ_w U_{g−w} U_{w−h} / 2K s_w,

here times 1 − sinc(2 s_w t), the real part of what the same integral taken twice leaves of it in a crystal that is not
thick against 1/s_w.

What far beams scatter into each other is left out; it limits their own intensities (R1 of 5 % for ITO), and is of
third order in U for the near ones. Leaving the far beams out altogether costs In2O3 a percent of R1 however many near
ones are taken: beams come in one by one, each with a share U/2Ks, and their sum falls only as 1/√s_max.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from twin.physics.lattice import Floats, Ints
from twin.physics.potential import PotentialTable

Array = NDArray[Any]


def coupling(table: PotentialTable, hkl: Ints, others: Ints, *, single: bool = True) -> Array:
    """U_{g−h} for g in hkl (n, 3), h in others (m, 3); (n, m), real for a real table.

    All beams must be within g_max of the table, so that their differences are in it.
    """
    kind = np.complex64 if single else np.complex128
    dtype = np.dtype(kind) if np.iscomplexobj(table.values) else kind(0).real.dtype
    out = np.empty((len(hkl), len(others)), dtype=dtype)
    shape = table.values.shape
    stride = np.array([shape[1] * shape[2], shape[2], 1], dtype=np.int64)
    origin = int(np.array(table.limits) @ stride)
    _fill(table.values.reshape(-1), hkl @ stride + origin, others @ stride, out)
    return out


@numba.njit(cache=True)
def _fill(values: Array, position: Ints, others: Ints, out: Array) -> None:
    for i in range(position.size):
        for j in range(others.size):
            out[i, j] = values[position[i] - others[j]]


def bethe_potential(
    *, near_far: Array, excitation_error: Floats, wavenumber_per_angstrom: float, thickness_angstrom: float = math.inf
) -> Array:
    """ΔU (n, n) in Å⁻² from U_{g−w} (n, m) of the Hermitian potential and s_w (m, S) of directions that share it.

    The factor of a beam is averaged over the directions, which holds where s_w changes little against itself.
    """
    factor = 1.0 / (2.0 * wavenumber_per_angstrom * excitation_error)
    if math.isfinite(thickness_angstrom):
        factor = factor * (1.0 - np.sinc(2.0 * excitation_error * thickness_angstrom))
    weighted = near_far * factor.mean(axis=1).astype(near_far.real.dtype)
    return np.asarray(-(weighted @ near_far.conj().T))


def far_amplitudes(
    *,
    near_far: Array,
    near: Array,
    excitation_error: Floats,
    wavenumber_per_angstrom: float,
    thickness_angstrom: Floats,
    mean_potential: complex,
) -> Array:
    """ψ_w (J, m, S) from the amplitudes ``near`` (J, n, S), the direct beam first, s_w (m, S) and U_0."""
    back = np.ascontiguousarray(near_far.conj().T)
    if np.iscomplexobj(back):
        field = back @ near
    else:  # real coefficients act on real and imaginary parts side by side
        real = np.ascontiguousarray(near).view(near.real.dtype)
        field = (back.astype(real.dtype) @ real).view(near.dtype)
    common = np.exp(1j * np.pi * mean_potential * thickness_angstrom / wavenumber_per_angstrom)
    out = np.empty_like(field)
    _by_parts(
        field, back[:, 0], common, excitation_error, np.asarray(thickness_angstrom), wavenumber_per_angstrom, out
    )
    return out


@numba.njit(cache=True)
def _by_parts(
    field: Array, start: Array, common: Array, excitation_error: Floats, thickness: Floats, k: float, out: Array
) -> None:
    for j in range(field.shape[0]):
        for i in range(field.shape[1]):
            first = start[i] * common[j]
            for c in range(field.shape[2]):
                angle = 2.0 * np.pi * excitation_error[i, c] * thickness[j]
                turn = complex(math.cos(angle), math.sin(angle))
                last = field[j, i, c]
                mean = 1.0 if abs(angle) < 1e-6 else (turn - 1.0) / (1j * angle)
                out[j, i, c] = -(last - first * turn - (last - first) * mean) / (2.0 * k * excitation_error[i, c])
