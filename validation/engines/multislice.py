"""A precessed sphere by multislice, by columns of multislice amplitudes, and by columns of Bloch waves."""

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
from twin.physics.lattice import Floats, Ints, reciprocal_matrix
from twin.simulate.illumination import beam_intensity
from twin.simulate.multislice import BAND_OVER_G_MAX, Pattern, field_of_view, scattered_pattern, shared_discs
from twin.specimen.atoms import atom_cloud, particle_atoms
from twin.specimen.shapes import columns
from validation.engines.multislice_abtem import comparison_rows
from validation.engines.multislice_columns import along_122, column_amplitudes, directions_off_zone, sphere_of_columns
from validation.engines.multislice_depth import depth_rows
from validation.engines.multislice_slab import slab_rows
from validation.engines.problem import ENERGY_KEV, IN2O3
from validation.rows import Row, at_most

SPHERE = Particle(shape="sphere", size_nm=(10.0, 10.0, 10.0))
RADIUS_ANGSTROM = 50.0
DISC_PER_ANGSTROM = 1.25 / RADIUS_ANGSTROM
BEAM = Beam(energy_kev=ENERGY_KEV, diameter_nm=100.0, flux_e_per_angstrom2_s=1.0)
BAND, SLICE_ANGSTROM = 2.4, 1.0
ISOLATION = 0.01  # no neighbour stronger than this share of a reflection within two discs of it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spots:
    """Reflections of the sphere that pass through their Bragg condition.

    hkl (n, 3); g_lab (n, 3) Å⁻¹; whole (n,), disc (n,): all of a spot, and what a disc around it holds, per electron.
    """

    hkl: Ints
    g_lab: Floats
    whole: Floats
    disc: Floats


def sphere_pattern(*, crystal: Crystal, azimuths: int, band: float, slice_angstrom: float = SLICE_ANGSTROM) -> Pattern:
    """Multislice of the sphere of 10 nm along [122], precessed off the zone, under the flat top of a beam of 100 nm."""
    grid = field_of_view(half_angstrom=RADIUS_ANGSTROM, g_max_per_angstrom=band / BAND_OVER_G_MAX)
    atoms = particle_atoms(crystal=crystal, particle=SPHERE, orientation=along_122())
    middle = (0.5 * grid.extent_angstrom, 0.5 * grid.extent_angstrom)
    return scattered_pattern(
        runs=iter([(atom_cloud(atoms, centre_angstrom=middle), directions_off_zone(azimuths))]),
        beam=BEAM,
        shift_nm=(0.0, 0.0),
        grid=grid,
        slice_angstrom=slice_angstrom,
    )


def columns_of_waves(*, crystal: Crystal, azimuths: int, band: float) -> Spots:
    """Columns whose amplitudes are those of a periodic slab by multislice."""
    found = column_amplitudes(
        crystal=crystal,
        thickness_angstrom=2.0 * RADIUS_ANGSTROM + SLICE_ANGSTROM,
        slice_angstrom=SLICE_ANGSTROM,
        band_per_angstrom=band,
        directions=directions_off_zone(azimuths),
    )
    whole, disc = sphere_of_columns(found, radius_angstrom=RADIUS_ANGSTROM, disc_per_angstrom=DISC_PER_ANGSTROM)
    density = _density()
    return Spots(hkl=found.hkl, g_lab=found.g_lab, whole=density * whole, disc=density * disc)


def columns_of_bloch_waves(*, crystal: Crystal, azimuths: int, s_max: float, g_max: float) -> Spots:
    """Columns of Bloch waves, as the twin makes them; the spot's shape from the same amplitudes as its intensity."""
    points = 512
    spacing = 8.0 * RADIUS_ANGSTROM / points
    axis = (np.arange(points) - points // 2) * spacing
    t = columns(
        particle=SPHERE, axes_lab=along_122(), x_angstrom=axis[None, :], y_angstrom=axis[:, None]
    ).thickness_angstrom
    hit, density = t > 0.0, _density()
    basis = thickness_basis(thickness_angstrom=t[hit], weight=np.full(int(hit.sum()), density * spacing**2), nodes=16)
    result = bloch_amplitudes(
        crystal=crystal,
        reciprocal_lab=along_122() @ reciprocal_matrix(crystal.cell),
        directions=directions_off_zone(azimuths),
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
    inside = np.hypot(q[:, None], q[None, :]) <= DISC_PER_ANGSTROM
    held = spectrum[:, inside] @ spectrum[:, inside].conj().T
    rho = density_matrices(
        basis=basis,
        amplitudes=result.amplitudes,
        excitation_error=result.excitation_error,
        azimuth_weight=np.full(azimuths, 1.0 / azimuths),
        modes=modes,
    )
    return Spots(
        hkl=result.hkl,
        g_lab=result.g_lab,
        whole=integrated_intensity(basis=basis, amplitudes=result.amplitudes).mean(axis=1),
        disc=np.einsum("nij,ij->n", rho, held.astype(rho.dtype)).real,
    )


def _density() -> float:
    """Electrons per Å² for one electron of the beam, in its middle."""
    return float(beam_intensity(beam=BEAM, radius_angstrom=np.zeros(1))[0])


def isolated(spots: Spots) -> NDArray[np.bool_]:
    """No neighbour within two discs that has more than a share ``ISOLATION`` of a reflection, nor the direct beam."""
    reach, g = 2.0 * DISC_PER_ANGSTROM, spots.g_lab[:, :2]
    apart = np.linalg.norm(g[:, None] - g[None], axis=-1)
    strong = spots.whole[None, :] > ISOLATION * spots.whole[:, None]
    np.fill_diagonal(strong, False)
    return np.asarray(~np.any((apart < reach) & strong, axis=1) & (np.linalg.norm(g, axis=1) > 4.0 * reach))


def in_discs(pattern: Pattern, spots: Spots, chosen: NDArray[np.bool_]) -> Floats:
    """What the pattern holds in a disc around each chosen reflection."""
    g_xy = spots.g_lab[chosen, :2]
    return shared_discs(
        pattern=pattern, g_xy=g_xy, weight=np.ones(len(g_xy)), radius_per_angstrom=DISC_PER_ANGSTROM
    )  # fmt: skip


def same_reflections(one: Spots, other: Spots) -> Ints:
    """Rows of ``other`` that hold the reflections of ``one``."""
    row = {tuple(h): i for i, h in enumerate(other.hkl.tolist())}
    return np.array([row[tuple(h)] for h in one.hkl.tolist()], dtype=np.int64)


def sphere_rows(*, quick: bool) -> list[Row]:
    """The column approximation with one engine on both sides; then Bloch waves in the columns; then convergence."""
    azimuths, band = (8 if quick else 32), BAND
    start = process_time()
    pattern = sphere_pattern(crystal=IN2O3, azimuths=azimuths, band=band)
    seconds = process_time() - start
    spots = columns_of_waves(crystal=IN2O3, azimuths=azimuths, band=band)
    chosen = isolated(spots)
    found, length = in_discs(pattern, spots, chosen), np.linalg.norm(spots.g_lab[chosen], axis=1)
    title = f"In2O3 sphere 10 nm, 1.2°, {azimuths} azimuths, reflections to 1.5 Å⁻¹"
    rows = distribution_rows(
        "sphere-columns", f"{title}: multislice over columns of multislice", found, spots.disc[chosen], length,
        limit=3.0, note=f"discs of 2.5/diameter hold {100 * np.median(spots.disc / spots.whole):.0f} % of a spot;"
        f" band {band} Å⁻¹, slices {SLICE_ANGSTROM:g} Å, {seconds:.0f} s",
    )  # fmt: skip
    for g_max, s_max in ((1.8, 0.1), (2.4, 0.1)) if quick else ((1.8, 0.1), (2.4, 0.1), (3.2, 0.06)):
        bloch = columns_of_bloch_waves(crystal=IN2O3, azimuths=azimuths, s_max=s_max, g_max=g_max)
        disc = bloch.disc[same_reflections(spots, bloch)][chosen]
        words = f"{title}: multislice over columns of Bloch waves, g ≤ {g_max}, |s| ≤ {s_max} Å⁻¹"
        rows += distribution_rows(f"sphere-bloch-{g_max}", words, found, disc, length, limit=3.0)
    return rows + _convergence_rows(spots, chosen, quick=quick) + _thin_rows()


def _convergence_rows(spots: Spots, chosen: NDArray[np.bool_], *, quick: bool) -> list[Row]:
    """What a wider band and thinner slices change, 8 azimuths."""
    base = in_discs(sphere_pattern(crystal=IN2O3, azimuths=8, band=BAND), spots, chosen)
    rows = []
    for band, thick in ((3.2, 1.0),) if quick else ((3.2, 1.0), (2.4, 0.5)):
        finer = in_discs(
            sphere_pattern(crystal=IN2O3, azimuths=8, band=band, slice_angstrom=thick), spots, chosen
        )  # fmt: skip
        value = 100.0 * float(np.abs(np.sqrt(base) - np.sqrt(finer)).sum() / np.sqrt(finer).sum())
        quantity = f"the sphere by multislice, 8 azimuths: band 2.4 Å⁻¹, slices 1 Å against {band} Å⁻¹, {thick:g} Å"
        rows.append(
            Row(id=f"sphere-converged-{band}-{thick}", quantity=quantity, value=value, unit="% R1", n=len(base))
        )
    return rows


def _thin_rows() -> list[Row]:
    """With a fiftieth of the scattering nothing but the shape is left."""
    weak = replace(IN2O3, sites=tuple(replace(site, occupancy=0.02) for site in IN2O3.sites))
    spots = columns_of_bloch_waves(crystal=weak, azimuths=8, s_max=0.06, g_max=1.8)
    met = columns_of_waves(crystal=weak, azimuths=8, band=1.8)
    chosen = isolated(met) & (met.whole > 1e-3 * met.whole.max())
    found = in_discs(sphere_pattern(crystal=weak, azimuths=8, band=1.8), met, chosen)
    disc = spots.disc[same_reflections(met, spots)][chosen]
    quantity = "the same with a fiftieth of the scattering, 8 azimuths: multislice over columns of Bloch waves"
    length = np.linalg.norm(met.g_lab[chosen], axis=1)
    return distribution_rows("sphere-thin", quantity, found, disc, length)[:1]


def distribution_rows(
    id: str, title: str, found: Floats, column: Floats, length: Floats, *, limit: float | None = None, note: str = ""
) -> list[Row]:
    """Medians of |found/column − 1|, which the limit is for, and of found/column − 1, in percent; where it differs."""
    deviation = 100.0 * (found / column - 1.0)
    middle = float(np.median(deviation))
    size = float(np.median(np.abs(deviation)))
    text, met = at_most(size, limit) if limit else ("", None)
    quantiles = " / ".join(f"{v:+.1f}" for v in np.percentile(deviation, [5, 25, 75, 95]))
    r1 = 100.0 * float(np.abs(np.sqrt(found) - np.sqrt(column)).sum() / np.sqrt(column).sum())
    words = f"5, 25, 75, 95 % quantiles {quantiles} %; R1 {r1:.2f} %" + (f"; {note}" if note else "")
    rows = [
        Row(id=id, quantity=f"{title}, median difference", value=middle, unit="%", n=len(deviation), note=words),
        Row(id=f"{id}-size", quantity=f"{title}, median |difference|", value=size, unit="%", goal=text, met=met,
            n=len(deviation)),
    ]  # fmt: skip
    strong = np.argsort(-column)
    for name, part, members in (
        ("strong", "the 20 strongest", strong[:20]),
        ("middle", "the next 40", strong[20:60]),
        ("weak", "the rest", strong[60:]),
        ("inner", "g < 0.8 Å⁻¹", np.flatnonzero(length < 0.8)),
        ("outer", "g > 1.1 Å⁻¹", np.flatnonzero(length > 1.1)),
    ):
        if len(members):
            value, signed = float(np.median(np.abs(deviation[members]))), float(np.median(deviation[members]))
            quantity = f"{title}, median |difference|, {part}"
            rows.append(
                Row(
                    id=f"{id}-{name}", quantity=quantity, value=value, unit="%", n=len(members), note=f"{signed:+.1f} %"
                )
            )
    return rows


def multislice_rows(folder: Path, *, quick: bool) -> list[Row]:
    """All rows on multislice."""
    rows = slab_rows(quick=quick) + depth_rows(quick=quick) + sphere_rows(quick=quick)
    return rows + comparison_rows(folder, repeats=2 if quick else 5)
