"""The column approximation alone: a sphere by multislice against columns whose amplitudes are multislice too.

In2O3 looked at along [122], where the lattice has a square period of 3a across the beam: one periodic slab gives the
amplitude of every beam at every thickness, and columns of them make a sphere. The same engine on both sides, so what
differs is the approximation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import j0

from twin.model.crystal import Crystal
from twin.physics.beams import coupled_hkl
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.ewald import excitation_errors, precession_directions
from twin.physics.lattice import Floats, Ints, direct_matrix, miller_indices, reciprocal_matrix, rotation_matrix
from twin.physics.multislice import AtomCloud, Grid, Singles, free_flight, phase_slices
from twin.physics.structure_factors import expand_to_p1
from validation.engines.problem import ENERGY_KEV

Amplitudes = NDArray[np.complex64]
_OFF_ZONE = rotation_matrix(axis=[0.0, 1.0, 0.0], angle_deg=1.3) @ rotation_matrix(axis=[1.0, 0.0, 0.0], angle_deg=-0.7)


def along_122() -> Floats:
    """(3, 3) orientation of a cubic crystal with [122] along the beam, [21-2] along x."""
    z, x = np.array([1.0, 2.0, 2.0]) / 3.0, np.array([2.0, 1.0, -2.0]) / 3.0
    return np.array([x, np.cross(z, x), z])


def directions_off_zone(azimuths: int) -> Floats:
    """Precession by 1.2° about a direction 1.5° off the zone, (azimuths, 3)."""
    return np.asarray(precession_directions(precession_deg=1.2, steps=azimuths) @ _OFF_ZONE.T)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnAmplitudes:
    """Reflections hkl (n, 3), g_lab (n, 3) Å⁻¹, s_g (n, s) Å⁻¹ at directions (s); thickness (t,) Å and amplitude
    (s, t, n), its phase that of the reflection (1 in the plane z = 0 and growing with s_g alone)."""

    hkl: Ints
    g_lab: Floats
    excitation_error: Floats
    thickness_angstrom: Floats
    amplitude: Amplitudes


def crossing_reflections(crystal: Crystal, directions: Floats, *, reach_per_angstrom: float) -> ColumnAmplitudes:
    """Reflections that pass through their Bragg condition, without amplitudes yet."""
    lab = along_122() @ reciprocal_matrix(crystal.cell)
    hkl = coupled_hkl(miller_indices(reciprocal=lab, g_max_per_angstrom=reach_per_angstrom), crystal.hall)
    g = hkl @ lab.T
    s = excitation_errors(
        g_lab=g, directions=directions, wavenumber_per_angstrom=wavenumber_per_angstrom(energy_kev=ENERGY_KEV)
    )
    met = (s.min(axis=1) < 0.0) & (s.max(axis=1) > 0.0)
    return ColumnAmplitudes(
        hkl=hkl[met],
        g_lab=g[met],
        excitation_error=s[met],
        thickness_angstrom=np.zeros(0),
        amplitude=np.zeros((len(directions), 0, int(met.sum())), dtype=np.complex64),
    )


def periodic_slab(*, crystal: Crystal, extent_angstrom: float, thickness_angstrom: float) -> AtomCloud:
    """Atoms of a cubic ``crystal`` along [122] in a square cell of that ``extent_angstrom``, from z = 0."""
    atoms = expand_to_p1(crystal)
    steps = np.arange(-1, 2 + math.ceil((2.0 * extent_angstrom + thickness_angstrom) / crystal.cell.a_angstrom))
    steps = np.arange(-steps[-1], steps[-1] + 1)
    cells = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    position = (atoms.fract[None] + cells[:, None]).reshape(-1, 3) @ (along_122() @ direct_matrix(crystal.cell)).T
    position += np.array([0.31, 0.17, 0.05])  # no atom on a face
    upper = np.array([extent_angstrom, extent_angstrom, thickness_angstrom])
    inside = np.all((position >= 0.0) & (position < upper), axis=1)
    kinds = sorted({(site.element, site.u_iso_angstrom2) for site in crystal.sites})
    own = np.array([kinds.index((crystal.sites[i].element, crystal.sites[i].u_iso_angstrom2)) for i in atoms.site])
    return AtomCloud(
        position_angstrom=position[inside],
        element=np.tile(own, len(cells))[inside],
        weight=np.tile(atoms.occupancy, len(cells))[inside],
        elements=tuple(element for element, _ in kinds),
        u_iso_angstrom2=tuple(u for _, u in kinds),
    )


def column_amplitudes(
    *, crystal: Crystal, thickness_angstrom: float, slice_angstrom: float, band_per_angstrom: float,
    directions: Floats, reach_per_angstrom: float = 1.5,
) -> ColumnAmplitudes:  # fmt: skip
    """Amplitudes behind every slice of a periodic slab, for the reflections to ``reach_per_angstrom`` that are met."""
    extent = 3.0 * crystal.cell.a_angstrom
    grid = Grid(points=int(fft.next_fast_len(2 * math.ceil(1.5 * extent * band_per_angstrom))), extent_angstrom=extent)
    cloud = periodic_slab(crystal=crystal, extent_angstrom=extent, thickness_angstrom=thickness_angstrom)
    phases = list(phase_slices(atoms=cloud, grid=grid, energy_kev=ENERGY_KEV, slice_angstrom=slice_angstrom))
    empty = crossing_reflections(crystal, directions, reach_per_angstrom=reach_per_angstrom)
    index = np.round(empty.g_lab[:, :2] * extent).astype(np.int64)
    t: Floats = slice_angstrom * np.arange(1, len(phases) + 1, dtype=np.float64)
    own = np.exp(-2j * math.pi * np.multiply.outer(t, empty.g_lab[:, 2]))
    amplitude = np.empty((len(directions), len(phases), len(index)), dtype=np.complex64)
    for number, direction in enumerate(directions):
        for layer, spectrum in enumerate(_behind_slices(phases, grid, direction, slice_angstrom)):
            amplitude[number, layer] = own[layer] * spectrum[index[:, 1], index[:, 0]]
    return replace(empty, thickness_angstrom=t, amplitude=amplitude)


def _behind_slices(
    phases: list[Singles], grid: Grid, direction: Floats, slice_angstrom: float
) -> Iterator[NDArray[Any]]:
    """Fourier coefficients (n, n) behind one slice after the other."""
    free = free_flight(grid=grid, energy_kev=ENERGY_KEV, directions=direction, length_angstrom=slice_angstrom)[0]
    wave = np.ones((grid.points, grid.points), dtype=np.complex64)
    for phase in phases:
        spectrum = fft.fft2(wave * np.exp(1j * phase)) * free
        yield spectrum / grid.points**2
        wave = fft.ifft2(spectrum)


def sphere_of_columns(
    columns: ColumnAmplitudes, *, radius_angstrom: float, disc_per_angstrom: float
) -> tuple[Floats, Floats]:
    """(whole (n,), inside a disc (n,)) intensity in Å² for unit density of the beam, averaged over the directions.

    With r² = R² − t²/4 an area is 2π r dr = (π/2) t dt, and a spot is the Hankel transform of the columns' amplitudes,
    their phases referred to the middle of each column.
    """
    t = columns.thickness_angstrom
    step = float(t[1] - t[0])
    inside = t - 0.5 * step < 2.0 * radius_angstrom
    t = t[inside]
    share = np.minimum(1.0, (2.0 * radius_angstrom - t) / step + 0.5)  # of the step around t, inside the sphere
    area = 0.5 * math.pi * t * step * share
    radius = np.sqrt(np.maximum(radius_angstrom**2 - t**2 / 4.0, 0.0))
    nodes, weights = np.polynomial.legendre.leggauss(24)
    q = 0.5 * disc_per_angstrom * (nodes + 1.0)
    ring = math.pi * disc_per_angstrom * weights * q
    hankel = j0(2.0 * math.pi * np.multiply.outer(q, radius)) * area
    whole = np.zeros(len(columns.hkl))
    disc = np.zeros(len(columns.hkl))
    for amplitude, s in zip(columns.amplitude, columns.excitation_error.T, strict=True):
        centred = amplitude[inside] * np.exp(-1j * math.pi * np.multiply.outer(t, s))
        whole += area @ np.abs(centred) ** 2
        disc += ring @ np.abs(hankel @ centred) ** 2
    return whole / len(columns.amplitude), disc / len(columns.amplitude)
