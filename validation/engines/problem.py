"""The problems that all engines solve: a crystal, a frame, the same Fourier coefficients and the same beams."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from twin.model.crystal import Crystal
from twin.physics.beams import active_beams
from twin.physics.bloch import BlochResult, bloch_amplitudes
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.ewald import precession_directions
from twin.physics.lattice import Floats, Ints, direct_matrix, reciprocal_matrix, rotation_matrix
from twin.physics.potential import PotentialTable, potential_table
from validation.reference import BROOKITE, IN2O3, QUARTZ

ENERGY_KEV = 200.0
G_MAX = 1.6

TILTED = rotation_matrix(axis=[0.3, 0.5, 0.2], angle_deg=33.0)  # no low-index zone near the beam


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """One exposure. rotation (3, 3): crystal frame to laboratory; directions (S, 3)."""

    crystal: Crystal
    rotation: Floats
    directions: Floats
    thickness_angstrom: Floats
    g_max_per_angstrom: float
    s_max_per_angstrom: float
    table: PotentialTable

    @property
    def reciprocal_lab(self) -> Floats:
        return np.asarray(self.rotation @ reciprocal_matrix(self.crystal.cell))


def frame(
    crystal: Crystal,
    *,
    thickness_angstrom: float,
    s_max_per_angstrom: float = 0.02,
    azimuths: int = 64,
    precession_deg: float = 1.2,
    g_max_per_angstrom: float = G_MAX,
    table: PotentialTable | None = None,
) -> Problem:
    """A precession frame at 200 kV away from low-index zones; one azimuth and 0° is a still."""
    return Problem(
        crystal=crystal,
        rotation=TILTED,
        directions=precession_directions(precession_deg=precession_deg, steps=azimuths),
        thickness_angstrom=np.array([thickness_angstrom]),
        g_max_per_angstrom=g_max_per_angstrom,
        s_max_per_angstrom=s_max_per_angstrom,
        table=table or table_without_mean(crystal, g_max_per_angstrom),
    )


def table_without_mean(crystal: Crystal, g_max_per_angstrom: float) -> PotentialTable:
    """The potential with U_0 = 0, as all peers have it: they overwrite the diagonal.

    With surface factors U_0 is not quite a common phase (it refracts beams that leave at different angles); the twin
    keeps it.
    """
    table = potential_table(crystal=crystal, energy_kev=ENERGY_KEV, g_max_per_angstrom=g_max_per_angstrom)
    values = table.values.copy()
    values[table.limits] = 0.0
    return replace(table, values=values)


def solve(problem: Problem, *, dtype: type = np.float64, tolerance: float | None = None) -> BlochResult:
    """Ours: selection of beams, look-up of the matrix, propagation."""
    return bloch_amplitudes(
        crystal=problem.crystal,
        reciprocal_lab=problem.reciprocal_lab,
        directions=problem.directions,
        energy_kev=ENERGY_KEV,
        thickness_angstrom=problem.thickness_angstrom,
        g_max_per_angstrom=problem.g_max_per_angstrom,
        s_max_per_angstrom=problem.s_max_per_angstrom,
        table=problem.table,
        tolerance=tolerance,
        dtype=dtype,
    )


def beam_lists(problem: Problem) -> list[Ints]:
    """hkl of the active beams of each direction, (0, 0, 0) first."""
    g = problem.table.beams @ problem.reciprocal_lab.T
    active = active_beams(
        g_lab=g,
        directions=problem.directions,
        wavenumber_per_angstrom=wavenumber_per_angstrom(energy_kev=ENERGY_KEV),
        s_max_per_angstrom=problem.s_max_per_angstrom,
    )
    active &= (np.linalg.norm(g, axis=1) <= problem.g_max_per_angstrom)[:, None]
    return [problem.table.beams[active[:, j]] for j in range(active.shape[1])]


def to_beam(directions: Floats) -> Floats:
    """Smallest rotations (S, 3, 3) that bring each direction to +z."""
    turned = []
    for d in directions:
        axis = np.cross(d, [0.0, 0.0, 1.0])
        sine = float(np.linalg.norm(axis))
        angle = float(np.degrees(np.arctan2(sine, d[2])))
        turned.append(np.eye(3) if sine < 1e-14 else rotation_matrix(axis=axis, angle_deg=angle))
    return np.array(turned)


def write_problem(path: Path, problem: Problem, *, table_derivatives: Floats | None = None) -> list[Ints]:
    """What a peer needs, as arrays; returns the lists of beams. table_derivatives: (P, *table shape) ∂U/∂p."""
    table = problem.table
    limits = np.array(table.limits)
    hkl = np.argwhere(table.values != 0) - limits
    hkl = np.concatenate([hkl, _missing(problem, hkl)])
    index = tuple((hkl + limits).T)
    lists = beam_lists(problem)
    arrays = {
        "hkl": hkl,
        "u": table.values[index].astype(np.complex128),
        "direct": direct_matrix(problem.crystal.cell).T,
        "rotations": to_beam(problem.directions) @ problem.rotation,
        "beams": np.concatenate(lists),
        "offsets": np.cumsum([0, *map(len, lists)]),
        "thickness": problem.thickness_angstrom,
        "energy_ev": np.array(ENERGY_KEV * 1e3),
    }
    if table_derivatives is not None:
        arrays["du"] = table_derivatives[(slice(None), *index)].astype(np.complex128)
    np.savez(path, **arrays)
    return lists


def _missing(problem: Problem, hkl: Ints) -> Ints:
    """Lattice points of the table whose U happens to be zero: differences of beams may fall on them."""
    limits = np.array(problem.table.limits)
    seen = np.zeros(2 * limits + 1, dtype=bool)
    seen[tuple((hkl + limits).T)] = True
    parity = np.argwhere(~seen) - limits
    length = np.linalg.norm(parity @ reciprocal_matrix(problem.crystal.cell).T, axis=1)
    return np.asarray(parity[length <= 2.0 * problem.g_max_per_angstrom + 1e-9])


def physical_intensity(problem: Problem, result: BlochResult, lists: list[Ints], *, flux: bool) -> Floats:
    """|ψ|² (J, Σ beams) in the order of the lists; ``flux`` False: |Mψ|², amplitudes of plane waves."""
    row = {tuple(h): i for i, h in enumerate(result.hkl.tolist())}
    k = wavenumber_per_angstrom(energy_kev=ENERGY_KEV)
    parts = []
    for j, beams in enumerate(lists):
        rows = np.array([row[tuple(h)] for h in beams.tolist()])
        value = np.abs(result.amplitudes[:, rows, j]) ** 2
        if not flux:
            value = value / (1.0 + result.g_lab[rows] @ problem.directions[j] / k)
        parts.append(value)
    return np.concatenate(parts, axis=1)


__all__ = [
    "BROOKITE",
    "ENERGY_KEV",
    "G_MAX",
    "IN2O3",
    "QUARTZ",
    "TILTED",
    "Problem",
    "beam_lists",
    "frame",
    "physical_intensity",
    "solve",
    "table_without_mean",
    "to_beam",
    "write_problem",
]
