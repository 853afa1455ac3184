"""Multislice against the column approximation for a precessed sphere; all rows on multislice."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import numpy as np
from numpy.typing import NDArray

from twin.model.crystal import Crystal
from twin.model.instrument import Beam
from twin.model.specimen import Particle
from twin.physics.bloch import bloch_amplitudes
from twin.physics.column import density_matrices, integrated_intensity, mode_maps, thickness_basis
from twin.physics.ewald import precession_directions
from twin.physics.lattice import Floats, Ints, reciprocal_matrix
from twin.simulate.illumination import beam_intensity
from twin.simulate.multislice import BAND_OVER_G_MAX, Pattern, field_of_view, scattered_pattern, shared_discs
from twin.specimen.atoms import atom_cloud, particle_atoms
from twin.specimen.shapes import columns
from validation.engines.multislice_abtem import comparison_rows
from validation.engines.multislice_slab import slab_rows
from validation.engines.problem import ENERGY_KEV, IN2O3, TILTED
from validation.rows import Row, at_most

SPHERE = Particle(shape="sphere", size_nm=(10.0, 10.0, 10.0))
RADIUS_ANGSTROM = 50.0
BEAM = Beam(energy_kev=ENERGY_KEV, diameter_nm=100.0, flux_e_per_angstrom2_s=1.0)
ISOLATION = 0.01  # no neighbour stronger than this share of a reflection within two discs of it


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
    """Both engines on isolated reflections to 1.5 Å⁻¹, integrated over discs of 2.5 / diameter.

    g_max: of the Bloch waves; the band of the multislice reaches as far.
    """
    disc = 1.25 / RADIUS_ANGSTROM
    start = process_time()
    pattern = sphere_pattern(
        crystal=crystal, azimuths=azimuths, slice_angstrom=slice_angstrom, g_max=g_max / BAND_OVER_G_MAX
    )
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
    return np.asarray(alone & (np.linalg.norm(g_lab[:, :2], axis=1) > 4.0 * reach))


def sphere_rows(*, quick: bool) -> list[Row]:
    """Where the column approximation stands against multislice for the sphere: distribution, and why."""
    azimuths = 16 if quick else 32
    rows = []
    for g_max in (2.4, 1.8):
        found = compare_sphere(crystal=IN2O3, azimuths=azimuths, g_max=g_max)
        title = f"In2O3 sphere 10 nm, 1.2°, {azimuths} azimuths, beams to {g_max} Å⁻¹ in both"
        rows += _sphere_rows(f"sphere-{g_max}", title, found, goal=g_max == 2.4)
    weak = replace(IN2O3, sites=tuple(replace(site, occupancy=0.02) for site in IN2O3.sites))
    thin = compare_sphere(crystal=weak, azimuths=8, slice_angstrom=2.0)
    title = "the same with a fiftieth of the scattering, 8 azimuths"
    return rows + _sphere_rows("sphere-thin", title, thin, goal=False)[:1]


def _sphere_rows(id: str, title: str, found: SphereComparison, *, goal: bool) -> list[Row]:
    deviation = 100.0 * (found.multislice / found.column - 1.0)
    middle = float(np.median(deviation))
    text, met = at_most(abs(middle), 3.0) if goal else ("", None)
    quartiles = " / ".join(f"{v:+.1f}" for v in np.percentile(deviation, [5, 25, 75, 95]))
    note = (
        f"5, 25, 75, 95 % quantiles {quartiles} %; isolated reflections in discs of 2.5/diameter, which hold"
        f" {100 * np.median(found.column / found.whole):.0f} % of a spot; multislice {found.seconds[0]:.0f} s,"
        f" columns {found.seconds[1]:.1f} s"
    )
    quantity = f"{title}: multislice over columns, median difference"
    rows = [
        Row(id=id, quantity=quantity, value=middle, unit="%", goal=text, met=met, n=len(deviation), note=note),
    ]  # fmt: skip
    strong, g = np.argsort(-found.column), found.g_per_angstrom
    for name, words, chosen in (
        ("strong", "the 20 strongest", strong[:20]),
        ("middle", "the next 40", strong[20:60]),
        ("weak", "the rest", strong[60:]),
        ("inner", "g < 0.8 Å⁻¹", np.flatnonzero(g < 0.8)),
        ("outer", "g > 1.1 Å⁻¹", np.flatnonzero(g > 1.1)),
    ):
        quantity = f"{title}: median |difference|, {words}"
        value, signed = float(np.median(np.abs(deviation[chosen]))), float(np.median(deviation[chosen]))
        rows.append(
            Row(id=f"{id}-{name}", quantity=quantity, value=value, unit="%", n=len(chosen), note=f"{signed:+.1f} %")
        )
    return rows


def multislice_rows(folder: Path, *, quick: bool) -> list[Row]:
    """All rows on multislice."""
    return slab_rows() + sphere_rows(quick=quick) + comparison_rows(folder, repeats=2 if quick else 5)
