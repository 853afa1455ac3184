"""The potential of a crystal as a table over Miller indices, from which the matrices of all frames are looked up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.model.crystal import Crystal
from twin.physics.absorption import absorptive_potential_coefficients
from twin.physics.lattice import Ints, miller_indices, reciprocal_matrix
from twin.physics.structure_factors import potential_coefficients

Complexes = NDArray[np.complex128]
_CHUNK = 8192


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PotentialTable:
    """U_g in Å⁻² for every |g| ≤ 2 g_max: differences between any two beams of |g| ≤ g_max are in it.

    values: (2H + 1, 2K + 1, 2L + 1), index hkl + limits; real when U is (centre of symmetry at 0, no absorption).
    """

    values: NDArray[Any]
    limits: tuple[int, int, int]
    g_max_per_angstrom: float
    energy_kev: float


def potential_table(
    *, crystal: Crystal, energy_kev: float, g_max_per_angstrom: float, absorption: bool = False
) -> PotentialTable:
    """Tabulate U_g (+ i U'_g with ``absorption``) for beams up to ``g_max_per_angstrom``."""
    hkl = miller_indices(reciprocal=reciprocal_matrix(crystal.cell), g_max_per_angstrom=2.0 * g_max_per_angstrom + 1e-9)
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
    return PotentialTable(values=values, limits=(h, k, m), g_max_per_angstrom=g_max_per_angstrom, energy_kev=energy_kev)


def potential_matrix(table: PotentialTable, hkl: ArrayLike) -> NDArray[Any]:
    """(N, N) matrix U_{g−h} of the beams hkl (N, 3); differences beyond 2 g_max are zero."""
    h: Ints = np.asarray(hkl, dtype=np.int64)
    shape = np.array(table.values.shape)
    stride = np.array([shape[1] * shape[2], shape[2], 1])
    reach = np.ptp(h, axis=0) if len(h) else np.zeros(3, dtype=np.int64)
    if np.any(reach > np.array(table.limits)):
        return _careful(table, h)
    flat = h @ stride
    origin = int(np.array(table.limits) @ stride)
    return np.asarray(table.values.reshape(-1)[flat[:, None] - flat[None, :] + origin])


def _careful(table: PotentialTable, h: Ints) -> NDArray[Any]:
    difference = h[:, None, :] - h[None, :, :]
    limits = np.array(table.limits)
    inside = np.all(np.abs(difference) <= limits, axis=2)
    index = np.where(inside[..., None], difference, 0) + limits
    return np.where(inside, table.values[index[..., 0], index[..., 1], index[..., 2]], 0.0)


def _by_chunks(function: Any, crystal: Crystal, hkl: Ints, energy_kev: float) -> Complexes:
    parts = [
        function(crystal=crystal, hkl=hkl[i : i + _CHUNK], energy_kev=energy_kev) for i in range(0, len(hkl), _CHUNK)
    ]
    return np.concatenate(parts)
