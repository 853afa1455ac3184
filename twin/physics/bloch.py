"""Many-beam amplitudes of a frame: beams, potential and propagation put together.

Beams are chosen by |g| ≤ g_max and |s_g| ≤ s_max at each direction (as Dyngo's Sg_max), or for the whole frame at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from twin.model.crystal import Crystal
from twin.physics.beams import select_beams
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.ewald import excitation_and_cosine
from twin.physics.lattice import Floats, Ints
from twin.physics.potential import PotentialTable, candidates, potential_matrix, potential_table
from twin.physics.propagation import is_single, propagate

Complex = NDArray[np.complex128]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlochResult:
    """hkl (N, 3), (0, 0, 0) first; g_lab (N, 3) Å⁻¹; excitation_error (N, S) Å⁻¹; active (N, S) bool;
    amplitudes (J, N, S) complex, |ψ|² in units of the incident flux through the slab, 0 where not active."""

    hkl: Ints
    g_lab: Floats
    excitation_error: Floats
    active: NDArray[np.bool_]
    amplitudes: Complex


def bloch_amplitudes(
    *,
    crystal: Crystal,
    reciprocal_lab: ArrayLike,
    directions: ArrayLike,
    energy_kev: float,
    thickness_angstrom: ArrayLike,
    g_max_per_angstrom: float,
    s_max_per_angstrom: float,
    absorption: bool = False,
    per_direction: bool = True,
    surface_normal: ArrayLike | None = None,
    table: PotentialTable | None = None,
    group_size: int = 128,
    tolerance: float | None = None,
    dtype: DTypeLike = np.float64,
) -> BlochResult:
    """Amplitudes of all beams at every thickness (J,) Å and beam direction (S, 3).

    reciprocal_lab: (3, 3) R·U·B, columns a*, b*, c* in the laboratory. ``table``: built here when None; build it once
    per crystal with :func:`twin.physics.potential.potential_table` and reuse it (its absorption is then what counts).
    per_direction: each direction has its own beams |s_g| ≤ s_max; otherwise a group shares the union of them.
    surface_normal: (3,) outward normal of the exit face (thickness is along it); each beam direction itself when None.
    group_size: directions that share one list of beams while working; a wide rotation range is split.
    """
    lab = np.asarray(reciprocal_lab, dtype=np.float64)
    all_directions = np.atleast_2d(np.asarray(directions, dtype=np.float64))
    nodes = np.atleast_1d(np.asarray(thickness_angstrom, dtype=np.float64))
    k = wavenumber_per_angstrom(energy_kev=energy_kev)
    if table is None:
        table = potential_table(
            crystal=crystal, energy_kev=energy_kev, g_max_per_angstrom=g_max_per_angstrom, absorption=absorption
        )
    if g_max_per_angstrom > table.g_max_per_angstrom * (1 + 1e-9):
        raise ValueError(f"g_max {g_max_per_angstrom} exceeds that of the potential table, {table.g_max_per_angstrom}")
    listed = candidates(table, lab, crystal.hall)
    groups = np.array_split(np.arange(len(all_directions)), -(-len(all_directions) // group_size))
    chosen = [
        select_beams(
            reciprocal_lab=lab,
            hkl=listed,
            directions=all_directions[columns],
            wavenumber_per_angstrom=k,
            g_max_per_angstrom=g_max_per_angstrom,
            s_max_per_angstrom=s_max_per_angstrom,
        )
        for columns in groups
    ]
    union = chosen[0] if len(chosen) == 1 else np.unique(np.concatenate(chosen))  # by length: (0, 0, 0) stays first
    hkl = listed[union]
    g_lab = hkl @ lab.T
    s, along_beam = excitation_and_cosine(g_lab=g_lab, directions=all_directions, wavenumber_per_angstrom=k)
    active = np.abs(s) <= s_max_per_angstrom if per_direction else np.zeros(s.shape, dtype=bool)
    active[0] = True

    def part_of(rows: Ints | slice, columns: Ints | slice) -> Complex:
        ratio, normal_k = along_beam[rows][:, columns], None
        if surface_normal is not None:
            ratio, normal_k = _surface(surface_normal, g_lab[rows], all_directions[columns], k)
        return propagate(
            potential=potential_matrix(table, hkl[rows], single=is_single(dtype)),
            excitation_error=s[rows][:, columns],
            wavenumber_per_angstrom=k,
            thickness_angstrom=nodes,
            normal_cosine_ratio=ratio,
            normal_wavenumber_per_angstrom=normal_k,
            active=active[rows][:, columns] if per_direction else None,
            tolerance=tolerance,
            dtype=dtype,
        )

    if len(groups) == 1:
        amplitudes = part_of(slice(None), slice(None))
        if not per_direction:
            active[:] = True
    else:
        amplitudes = np.zeros((nodes.size, *s.shape), dtype=np.complex64 if is_single(dtype) else np.complex128)
        for columns, beams in zip(groups, chosen, strict=True):
            rows = np.searchsorted(union, beams)
            amplitudes[np.ix_(np.arange(nodes.size), rows, columns)] = part_of(rows, columns)
            active[np.ix_(rows, columns)] |= not per_direction
    return BlochResult(hkl=hkl, g_lab=g_lab, excitation_error=s, active=active, amplitudes=amplitudes)


def _surface(normal: ArrayLike, g_lab: Floats, directions: Floats, k: float) -> tuple[Floats, Floats]:
    """(g_n / K_n (N, S), K_n (S,)) of a tilted surface."""
    n = np.asarray(normal, dtype=np.float64) / np.linalg.norm(np.asarray(normal, dtype=np.float64))
    k_n = k * (directions @ n)
    if np.any(k_n <= 0.05 * k):
        raise ValueError("the surface normal must point along the beam, less than 87 degrees from it")
    return (g_lab @ n)[:, None] / k_n, k_n
