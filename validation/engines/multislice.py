"""Multislice against Bloch waves (a slab), against the column approximation (a sphere), and against abTEM."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from time import process_time

import numpy as np
from numpy.typing import NDArray

from twin.model.crystal import Cell, Crystal, Site
from twin.model.instrument import Beam
from twin.model.specimen import Particle
from twin.physics.bloch import bloch_amplitudes
from twin.physics.column import density_matrices, integrated_intensity, mode_maps, thickness_basis
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.ewald import precession_directions
from twin.physics.lattice import Floats, Ints, reciprocal_matrix
from twin.physics.multislice import Grid, Singles, exit_waves, plane_wave
from twin.physics.potential import PotentialTable, potential_table
from twin.physics.structure_factors import potential_coefficients
from twin.simulate.illumination import beam_intensity
from twin.simulate.multislice import Pattern, field_of_view, scattered_pattern, shared_discs
from twin.specimen.atoms import atom_cloud, particle_atoms
from twin.specimen.shapes import columns
from validation.engines.problem import ENERGY_KEV, IN2O3, TILTED
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
SPHERE = Particle(shape="sphere", size_nm=(10.0, 10.0, 10.0))
RADIUS_ANGSTROM = 50.0
BEAM = Beam(energy_kev=ENERGY_KEV, diameter_nm=100.0, flux_e_per_angstrom2_s=1.0)
ISOLATION = 0.01  # no neighbour stronger than this share of a reflection within two discs of it

Amplitudes = dict[tuple[int, int], complex]
Wave = NDArray[np.complex64]


# ---------------------------------------------------------------- slab: the same Fourier potential in both engines


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
    u = np.zeros(len(hkl), dtype=np.complex128)
    u[short] = potential_coefficients(crystal=problem.crystal, hkl=hkl[short], energy_kev=ENERGY_KEV)
    u = u.reshape(len(index), len(index), len(level))
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


# ---------------------------------------------------------------- sphere: column approximation against multislice


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spots:
    """Reflections of a precessed sphere in the column approximation, without the direct beam.

    hkl (n, 3); g_lab (n, 3) Å⁻¹; whole (n,), disc (n,): all of a spot, and what a disc around it holds, per electron;
    crossing (n,): s changes sign.
    """

    hkl: Ints
    g_lab: Floats
    whole: Floats
    disc: Floats
    crossing: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SphereComparison:
    """Isolated reflections: g_per_angstrom (n,); intensity in the disc by multislice (n,) and by columns (n,); all of
    the spot by columns (n,); seconds that each took."""

    g_per_angstrom: Floats
    multislice: Floats
    column: Floats
    whole: Floats
    seconds: tuple[float, float]


def sphere_pattern(*, crystal: Crystal, azimuths: int, slice_angstrom: float, g_max: float = 1.6) -> Pattern:
    """Multislice of the sphere of 10 nm, precessed by 1.2°, under the flat top of a beam of 100 nm."""
    grid = field_of_view(half_angstrom=RADIUS_ANGSTROM, g_max_per_angstrom=g_max)
    atoms = particle_atoms(crystal=crystal, particle=SPHERE, orientation=TILTED)
    middle = (0.5 * grid.extent_angstrom, 0.5 * grid.extent_angstrom)
    directions = precession_directions(precession_deg=1.2, steps=azimuths)
    return scattered_pattern(
        runs=iter([(atom_cloud(atoms, centre_angstrom=middle), directions)]),
        beam=BEAM,
        shift_nm=(0.0, 0.0),
        grid=grid,
        slice_angstrom=slice_angstrom,
    )


def sphere_columns(*, crystal: Crystal, azimuths: int, s_max: float, g_max: float, disc_per_angstrom: float) -> Spots:
    """The same by Bloch waves in columns; the spot's shape from the same amplitudes as its intensity."""
    points = 512
    spacing = 8.0 * RADIUS_ANGSTROM / points
    axis = (np.arange(points) - points // 2) * spacing
    x, y = axis[None, :], axis[:, None]
    t = columns(particle=SPHERE, axes_lab=TILTED, x_angstrom=x, y_angstrom=y).thickness_angstrom
    density = float(beam_intensity(beam=BEAM, radius_angstrom=np.zeros(1))[0])
    hit = t > 0.0
    basis = thickness_basis(thickness_angstrom=t[hit], weight=np.full(int(hit.sum()), density * spacing**2), nodes=16)
    result = bloch_amplitudes(
        crystal=crystal,
        reciprocal_lab=TILTED @ reciprocal_matrix(crystal.cell),
        directions=precession_directions(precession_deg=1.2, steps=azimuths),
        energy_kev=ENERGY_KEV,
        thickness_angstrom=basis.thickness_angstrom,
        g_max_per_angstrom=g_max,
        s_max_per_angstrom=s_max,
        dtype=np.float32,
        group_size=8,
    )
    modes = len(basis.weight)
    maps = mode_maps(basis=basis, thickness_angstrom=t, amplitude=math.sqrt(density), modes=modes)
    spectrum = np.fft.fft2(np.fft.ifftshift(maps, axes=(1, 2)), axes=(1, 2)) * (spacing / points)
    q = np.fft.fftfreq(points, spacing)
    inside = np.hypot(q[:, None], q[None, :]) <= disc_per_angstrom
    held = spectrum[:, inside] @ spectrum[:, inside].conj().T
    rho = density_matrices(
        basis=basis,
        amplitudes=result.amplitudes,
        excitation_error=result.excitation_error,
        azimuth_weight=np.full(azimuths, 1.0 / azimuths),
        modes=modes,
    )
    s = result.excitation_error
    return Spots(
        hkl=result.hkl[1:],
        g_lab=result.g_lab[1:],
        whole=integrated_intensity(basis=basis, amplitudes=result.amplitudes).mean(axis=1)[1:],
        disc=np.einsum("nij,ij->n", rho, held.astype(rho.dtype)).real[1:],
        crossing=((s.min(axis=1) < 0.0) & (s.max(axis=1) > 0.0))[1:],
    )


def compare_sphere(
    *, crystal: Crystal, azimuths: int, slice_angstrom: float = 1.0, s_max: float = 0.1, g_max: float = 1.8
) -> SphereComparison:
    """Both engines on isolated reflections to 1.5 Å⁻¹, integrated over discs of 2.5 / diameter."""
    disc = 1.25 / RADIUS_ANGSTROM
    start = process_time()
    pattern = sphere_pattern(crystal=crystal, azimuths=azimuths, slice_angstrom=slice_angstrom)
    middle = process_time()
    spots = sphere_columns(crystal=crystal, azimuths=azimuths, s_max=s_max, g_max=g_max, disc_per_angstrom=disc)
    end = process_time()
    length = np.linalg.norm(spots.g_lab, axis=1)
    chosen = spots.crossing & (length < 1.5) & _isolated(spots.g_lab, spots.whole, reach=2.0 * disc)
    found = shared_discs(
        pattern=pattern,
        g_xy=spots.g_lab[chosen, :2],
        weight=np.ones(int(chosen.sum())),
        radius_per_angstrom=disc,
    )
    return SphereComparison(
        g_per_angstrom=length[chosen],
        multislice=found,
        column=spots.disc[chosen],
        whole=spots.whole[chosen],
        seconds=(middle - start, end - middle),
    )


def _isolated(g_lab: Floats, intensity: Floats, *, reach: float) -> NDArray[np.bool_]:
    """No neighbour within ``reach`` that has more than a share ``ISOLATION`` of the reflection, nor the direct beam."""
    apart = np.linalg.norm(g_lab[:, None, :2] - g_lab[None, :, :2], axis=-1)
    strong = intensity[None, :] > ISOLATION * intensity[:, None]
    np.fill_diagonal(strong, False)
    alone: NDArray[np.bool_] = ~np.any((apart < reach) & strong, axis=1)
    return alone & (np.linalg.norm(g_lab[:, :2], axis=1) > 4.0 * reach)
