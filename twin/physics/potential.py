"""The potential of a crystal as a table over Miller indices, from which the matrices of all frames are looked up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.model.crystal import Crystal
from twin.physics.absorption import absorptive_potential_coefficients
from twin.physics.beams import coupled_hkl
from twin.physics.lattice import Floats, Ints, miller_indices, reciprocal_matrix
from twin.physics.structure_factors import potential_coefficients

Complexes = NDArray[np.complex128]
_CHUNK = 8192
_MARGIN = 1.02


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PotentialTable:
    """U_g in Å⁻² for every |g| ≤ 2 g_max: differences between any two beams of |g| ≤ g_max are in it.

    beams: (n, 3) hkl with |g| ≤ 1.02 g_max that are on the lattice of the centred cell, (0, 0, 0) first.

    values: (2H + 1, 2K + 1, 2L + 1), index hkl + limits; real when U is (centre of symmetry at 0, no absorption).
    """

    values: NDArray[Any]
    beams: Ints
    limits: tuple[int, int, int]
    g_max_per_angstrom: float
    energy_kev: float
    reciprocal: Floats


def potential_table(
    *, crystal: Crystal, energy_kev: float, g_max_per_angstrom: float, absorption: bool = False
) -> PotentialTable:
    """Tabulate U_g (+ i U'_g with ``absorption``) for beams up to ``g_max_per_angstrom``."""
    b = reciprocal_matrix(crystal.cell)
    hkl = coupled_hkl(miller_indices(reciprocal=b, g_max_per_angstrom=2.0 * g_max_per_angstrom + 1e-9), crystal.hall)
    key = hkl @ np.array([1_000_000, 1000, 1])
    half = hkl[key >= 0]
    real = _by_chunks(potential_coefficients, crystal, half, energy_kev)
    plus, minus = real, np.conj(real)
    if absorption:
        lost = _by_chunks(absorptive_potential_coefficients, crystal, half, energy_kev)
        plus, minus = plus + 1j * lost, minus + 1j * np.conj(lost)
    limits = np.abs(hkl).max(axis=0)
    values = np.zeros(2 * limits + 1, dtype=np.complex128)
    for index, value in ((half, plus), (-half, minus)):
        values[tuple((index + limits).T)] = value
    if not absorption and float(np.abs(values.imag).max()) <= 1e-12 * float(np.abs(values).max()):
        values = np.ascontiguousarray(values.real)
    h, k, m = (int(v) for v in limits)
    return PotentialTable(
        values=values,
        beams=coupled_hkl(miller_indices(reciprocal=b, g_max_per_angstrom=_MARGIN * g_max_per_angstrom), crystal.hall),
        limits=(h, k, m),
        g_max_per_angstrom=g_max_per_angstrom,
        energy_kev=energy_kev,
        reciprocal=b,
    )


def potential_matrix(table: PotentialTable, hkl: ArrayLike, *, single: bool = False) -> NDArray[Any]:
    """(N, N) matrix U_{g−h} of the beams hkl (N, 3); differences beyond 2 g_max are 0. ``single``: 32 bit if real."""
    h: Ints = np.ascontiguousarray(hkl, dtype=np.int64).reshape(-1, 3)
    kind = np.float32 if single and not np.iscomplexobj(table.values) else table.values.dtype
    out = np.zeros((len(h), len(h)), dtype=kind)
    shape = table.values.shape
    stride = np.array([shape[1] * shape[2], shape[2], 1], dtype=np.int64)
    limits = np.array(table.limits, dtype=np.int64)
    if len(h) and np.all(np.ptp(h, axis=0) <= limits):
        _look_up_flat(table.values.reshape(-1), h @ stride, int(limits @ stride), out)
    else:
        _look_up(table.values, h, limits, out)
    return out


@numba.njit(cache=True)
def _look_up_flat(values: NDArray[Any], position: Ints, origin: int, out: NDArray[Any]) -> None:
    for i in range(position.size):
        first = position[i] + origin
        for j in range(position.size):
            out[i, j] = values[first - position[j]]


@numba.njit(cache=True)
def _look_up(values: NDArray[Any], hkl: Ints, limits: Ints, out: NDArray[Any]) -> None:
    n0, n1, n2 = limits
    for i in range(len(hkl)):
        for j in range(len(hkl)):
            a, b, c = hkl[i, 0] - hkl[j, 0], hkl[i, 1] - hkl[j, 1], hkl[i, 2] - hkl[j, 2]
            if abs(a) <= n0 and abs(b) <= n1 and abs(c) <= n2:
                out[i, j] = values[a + n0, b + n1, c + n2]


def candidates(table: PotentialTable, reciprocal_lab: ArrayLike, hall: str) -> Ints:
    """Beams (n, 3) that may be within g_max in this orientation: those of the table unless the cell differs by 2 %."""
    lab = np.asarray(reciprocal_lab, dtype=np.float64)
    stretch = lab @ np.linalg.inv(table.reciprocal)
    least = 1.0 - float(np.linalg.norm(stretch.T @ stretch - np.eye(3)))  # of |stretch x|² / |x|²
    if least * _MARGIN**2 >= 1.0:
        return table.beams
    return coupled_hkl(miller_indices(reciprocal=lab, g_max_per_angstrom=table.g_max_per_angstrom), hall)


def _by_chunks(function: Any, crystal: Crystal, hkl: Ints, energy_kev: float) -> Complexes:
    parts = [
        function(crystal=crystal, hkl=hkl[i : i + _CHUNK], energy_kev=energy_kev) for i in range(0, len(hkl), _CHUNK)
    ]
    return np.concatenate(parts)
