"""Multislice against Bloch waves: a slab with the same Fourier potential in both."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from twin.model.crystal import Cell, Crystal, Site
from twin.physics.bloch import bloch_amplitudes
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.lattice import reciprocal_matrix
from twin.physics.multislice import Grid, Singles, exit_waves, plane_wave
from twin.physics.potential import PotentialTable, potential_table
from twin.physics.structure_factors import potential_coefficients
from validation.engines.problem import ENERGY_KEV, IN2O3
from validation.rows import Row, at_most

K = wavenumber_per_angstrom(energy_kev=ENERGY_KEV)
RUTILE = Crystal(
    name="rutile",
    cell=Cell(a_angstrom=4.594, b_angstrom=4.594, c_angstrom=2.959),
    hall="-P 4n 2n",
    sites=(
        Site(label="Ti1", element="Ti", fract=(0.0, 0.0, 0.0), u_iso_angstrom2=0.005),
        Site(label="O1", element="O", fract=(0.3053, 0.3053, 0.0), u_iso_angstrom2=0.006),
    ),
)
TILT = np.array([[0.011, -0.006, 1.0]]) / np.linalg.norm([0.011, -0.006, 1.0])

Amplitudes = dict[tuple[int, int], complex]
Wave = NDArray[np.complex64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slab:
    """A tetragonal or cubic crystal, ``cells`` thick along c, a little off [001]."""

    crystal: Crystal
    cells: int
    table: PotentialTable
    potential_per_angstrom: float

    @property
    def thickness_angstrom(self) -> float:
        return self.cells * self.crystal.cell.c_angstrom


def slab(crystal: Crystal, *, cells: int, g_max_per_angstrom: float) -> Slab:
    """With the potential of beams to that g_max, which reaches twice as far."""
    table = potential_table(crystal=crystal, energy_kev=ENERGY_KEV, g_max_per_angstrom=g_max_per_angstrom)
    return Slab(crystal=crystal, cells=cells, table=table, potential_per_angstrom=2.0 * g_max_per_angstrom)


def slab_bloch(problem: Slab, *, g_max: float, s_max: float) -> Amplitudes:
    """Amplitude of each (h, k): after whole cells the beams of all l leave in phase, as one."""
    result = bloch_amplitudes(
        crystal=problem.crystal,
        reciprocal_lab=reciprocal_matrix(problem.crystal.cell),
        directions=TILT,
        energy_kev=ENERGY_KEV,
        thickness_angstrom=[problem.thickness_angstrom],
        g_max_per_angstrom=g_max,
        s_max_per_angstrom=s_max,
        surface_normal=[0.0, 0.0, 1.0],
        table=problem.table,
    )
    total: Amplitudes = {}
    for (h, k, _), amplitude in zip(result.hkl.tolist(), result.amplitudes[0, :, 0], strict=True):
        total[h, k] = total.get((h, k), 0j) + complex(amplitude)
    return total


def slab_phases(problem: Slab, *, points: int, slices: int) -> list[Singles]:
    """Slices of one cell from the Fourier potential, averaged over each slice exactly."""
    cell, reach = problem.crystal.cell, problem.potential_per_angstrom
    lateral = min((points - 1) // 2, int(reach * cell.a_angstrom))
    index = np.arange(-lateral, lateral + 1)
    level = np.arange(-int(reach * cell.c_angstrom), int(reach * cell.c_angstrom) + 1)
    hkl = np.stack(np.meshgrid(index, index, level, indexing="ij"), axis=-1).reshape(-1, 3)
    short = np.linalg.norm(hkl @ reciprocal_matrix(cell).T, axis=1) <= reach
    flat = np.zeros(len(hkl), dtype=np.complex128)
    flat[short] = potential_coefficients(crystal=problem.crystal, hkl=hkl[short], energy_kev=ENERGY_KEV)
    u = flat.reshape(len(index), len(index), len(level))
    phases = []
    for z0, z1 in pairwise(np.linspace(0.0, 1.0, slices + 1)):
        mean = np.exp(1j * np.pi * level * (z0 + z1)) * np.sinc(level * (z1 - z0)) * (z1 - z0) * cell.c_angstrom
        field = np.zeros((points, points), dtype=np.complex128)
        field[np.ix_(index % points, index % points)] = u @ mean
        phases.append((np.pi / (K * TILT[0, 2]) * np.fft.ifft2(field).real.T * points**2).astype(np.float32))
    return phases


def slab_multislice(problem: Slab, *, points: int, slices: int) -> Wave:
    """Fourier coefficients (points, points) behind the slab, ``slices`` a cell."""
    grid = Grid(points=points, extent_angstrom=problem.crystal.cell.a_angstrom)
    wave: Wave = exit_waves(
        phases=iter(slab_phases(problem, points=points, slices=slices) * problem.cells),
        incident=plane_wave(grid=grid, waves=1),
        grid=grid,
        energy_kev=ENERGY_KEV,
        slice_angstrom=problem.crystal.cell.c_angstrom / slices,
        directions=TILT,
    )[0]
    return wave


def slab_r1(problem: Slab, bloch: Amplitudes, wave: Wave, *, least: float = 0.0) -> tuple[float, int]:
    """(Σ||ψ| − |ψ'|| / Σ|ψ| in percent, beams) over diffracted beams to 1.6 Å⁻¹ with |ψ|² > ``least``."""
    reach = (1.6 * problem.crystal.cell.a_angstrom) ** 2
    ours = [(abs(v), abs(complex(wave[k, h]))) for (h, k), v in bloch.items() if 0 < h * h + k * k <= reach]
    a, b = np.array([pair for pair in ours if pair[0] ** 2 > least]).T
    return 100.0 * float(np.abs(a - b).sum() / a.sum()), len(a)


def slab_rows() -> list[Row]:
    """Rutile, converged, and how it converges; In2O3, whose long c leaves weak beams that converge slowly in s."""
    rutile = slab(RUTILE, cells=34, g_max_per_angstrom=3.2)
    bloch = {cut: slab_bloch(rutile, g_max=cut[0], s_max=cut[1]) for cut in _BLOCH_CUTS}
    waves = {cut: slab_multislice(rutile, points=cut[0], slices=cut[1]) for cut in _WAVE_CUTS}
    best, finest = bloch[_BLOCH_CUTS[-1]], waves[_WAVE_CUTS[-1]]
    value, n = slab_r1(rutile, best, finest)
    goal, met = at_most(value, 1.0)
    title = "rutile 10 nm, off [001] by 0.7°"
    rows = [
        Row(id="slab-rutile", quantity=f"{title}: both converged", value=value, unit="% R1", goal=goal, met=met, n=n)
    ]
    for (g_max, s_max), found in bloch.items():
        value, n = slab_r1(rutile, found, finest)
        quantity = f"{title}: Bloch g ≤ {g_max}, s ≤ {s_max} Å⁻¹, finest multislice"
        rows.append(Row(id=f"slab-rutile-bloch-{g_max}-{s_max}", quantity=quantity, value=value, unit="% R1", n=n))
    for (points, slices), wave in waves.items():
        value, n = slab_r1(rutile, best, wave)
        quantity = (
            f"{title}: multislice {points}² (band {points / 3 / RUTILE.cell.a_angstrom:.1f} Å⁻¹),"
            f" slices {RUTILE.cell.c_angstrom / slices:.2f} Å, widest Bloch"
        )
        rows.append(Row(id=f"slab-rutile-waves-{points}-{slices}", quantity=quantity, value=value, unit="% R1", n=n))
    return rows + _in2o3_rows()


_BLOCH_CUTS = ((1.6, 0.2), (2.0, 0.2), (2.6, 0.2), (2.6, 0.55), (3.2, 0.55), (3.2, 0.9))
_WAVE_CUTS = ((32, 16), (48, 2), (48, 4), (48, 16), (64, 2), (64, 4), (64, 16), (64, 32))


def _in2o3_rows() -> list[Row]:
    cubic = slab(IN2O3, cells=10, g_max_per_angstrom=2.6)
    bloch = slab_bloch(cubic, g_max=2.6, s_max=0.15)
    wave = slab_multislice(cubic, points=96, slices=32)
    rows = []
    for least, words in ((1e-4, "beams above 1e-4 of the incident one"), (0.0, "all beams")):
        value, n = slab_r1(cubic, bloch, wave, least=least)
        rows.append(
            Row(
                id=f"slab-in2o3-{least:g}",
                quantity=f"In2O3 10 nm, off [001] by 0.7°, g ≤ 2.6, s ≤ 0.15 Å⁻¹: {words}",
                value=value,
                unit="% R1",
                n=n,
                note="layers 0.1 Å⁻¹ apart: the far ones add up in phase at (h, k) and end slowly, as 1/s"
                if not least
                else "",
            )
        )
    return rows
