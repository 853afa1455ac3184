"""Multislice against Bloch waves: a slab with the same Fourier potential in both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from twin.model.crystal import Crystal
from twin.physics.bloch import bloch_amplitudes
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.lattice import reciprocal_matrix
from twin.physics.multislice import Grid, Singles, exit_waves, plane_wave
from twin.physics.potential import PotentialTable, potential_table
from twin.physics.structure_factors import potential_coefficients
from validation.engines.problem import ENERGY_KEV, IN2O3
from validation.reference import RUTILE
from validation.rows import Row, at_most

K = wavenumber_per_angstrom(energy_kev=ENERGY_KEV)
TILT = np.array([[0.011, -0.006, 1.0]]) / np.linalg.norm([0.011, -0.006, 1.0])

Amplitudes = dict[tuple[int, int], complex]
Wave = NDArray[np.complex64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slab:
    """A tetragonal or cubic crystal, ``cells`` thick along c, a little off [001]."""

    crystal: Crystal
    cells: int
    table: PotentialTable | None
    potential_per_angstrom: float

    @property
    def thickness_angstrom(self) -> float:
        return self.cells * self.crystal.cell.c_angstrom


def slab(crystal: Crystal, *, cells: int, g_max_per_angstrom: float) -> Slab:
    """With the potential of beams to that g_max, which reaches twice as far."""
    table = potential_table(crystal=crystal, energy_kev=ENERGY_KEV, g_max_per_angstrom=g_max_per_angstrom)
    return Slab(crystal=crystal, cells=cells, table=table, potential_per_angstrom=2.0 * g_max_per_angstrom)


def slab_bloch(problem: Slab, *, g_max: float, s_max: float, dtype: type = np.float64) -> Amplitudes:
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
        dtype=dtype,
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


def slab_multislice(problem: Slab, *, points: int, slices: int, wave_limit: float = math.inf) -> Wave:
    """Fourier coefficients (points, points) behind the slab, ``slices`` a cell; waves to ``wave_limit`` at most."""
    extent = problem.crystal.cell.a_angstrom
    grid = Grid(points=points, extent_angstrom=extent, wave_limit_per_angstrom=wave_limit)
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


def slab_rows(*, quick: bool) -> list[Row]:
    """Rutile, converged, and how it converges; In2O3 with the same plane waves in both."""
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
    return rows + _in2o3_rows(quick=quick) + _band_rows()


_BLOCH_CUTS = ((1.6, 0.2), (2.0, 0.2), (2.6, 0.2), (2.6, 0.55), (3.2, 0.55), (3.2, 0.9))
_WAVE_CUTS = ((32, 16), (48, 2), (48, 4), (48, 16), (64, 2), (64, 4), (64, 16), (64, 32))


def _in2o3_rows(*, quick: bool) -> list[Row]:
    """The same plane waves in both, |g| ≤ 1.6 Å⁻¹: what differs is the cut-off in s. Slices so thin that no electron
    is thrown over the edge of the band, which Bloch waves cannot do."""
    g_max, points = 1.6, 72
    cubic = slab(IN2O3, cells=10, g_max_per_angstrom=g_max)
    wave = slab_multislice(cubic, points=points, slices=256 if quick else 1024, wave_limit=g_max)
    cuts = (0.05, 0.1, 0.3) if quick else (0.05, 0.1, 0.2, 0.4, 0.8, 1.3)
    rows = []
    for s_max in cuts:
        bloch = slab_bloch(cubic, g_max=g_max, s_max=s_max, dtype=np.float32)
        for least, words in ((1e-4, "beams above 1e-4 of the incident one"), (0.0, "all beams")):
            value, n = slab_r1(cubic, bloch, wave, least=least)
            goal, met = at_most(value, 1.0) if s_max == cuts[-1] and not quick else ("", None)
            rows.append(
                Row(
                    id=f"slab-in2o3-{s_max}-{least:g}",
                    quantity=f"In2O3 10 nm, off [001] by 0.7°, g ≤ {g_max} Å⁻¹ in both, |s| ≤ {s_max} Å⁻¹: {words}",
                    value=value,
                    unit="% R1",
                    goal=goal,
                    met=met,
                    n=n,
                )
            )
    return rows


def _band_rows() -> list[Row]:
    """How far waves and potential must reach: multislice of In2O3 against waves to 5 and a potential to 7 Å⁻¹."""
    cell = IN2O3.cell.a_angstrom

    def run(wave: float, potential: float) -> Wave:
        problem = Slab(crystal=IN2O3, cells=10, table=None, potential_per_angstrom=potential)
        points = 2 * math.ceil(0.5 * cell * max(wave + potential, 2.0 * potential) + 1.0)
        return slab_multislice(problem, points=points, slices=32, wave_limit=wave)

    reference = run(5.0, 7.0)
    rows = []
    for band in (1.6, 2.0, 2.4, 3.2):
        for factor, words in ((2, "potential to twice that"), (1, "potential to the same")):
            found = run(band, factor * band)
            value, n = _between(found, reference, reach=1.5 * cell, least=1e-4)
            rows.append(
                Row(
                    id=f"slab-band-{band}-{factor}",
                    quantity=f"In2O3 10 nm, off [001]: multislice, waves to {band} Å⁻¹, {words}, and to 5 and 7",
                    value=value,
                    unit="% R1",
                    n=n,
                    note=f"electrons kept {100 * float(np.sum(np.abs(found) ** 2)):.2f} %",
                )
            )
    return rows


def _between(one: Wave, other: Wave, *, reach: float, least: float) -> tuple[float, int]:
    """R1 in percent of the diffracted beams of both within ``reach`` grid steps, and how many."""
    most = int(reach)
    index = np.arange(-most, most + 1)
    length = np.hypot(index[:, None], index[None, :])
    a = np.abs(one[np.ix_(index, index)])
    b = np.abs(other[np.ix_(index, index)])
    counted = (length > 0) & (length <= reach) & (b**2 > least)
    return 100.0 * float(np.abs(a - b)[counted].sum() / b[counted].sum()), int(counted.sum())
