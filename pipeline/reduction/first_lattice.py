"""From spots to an indexed lattice: tilt axis, primitive cell, sense of rotation, symmetry of the lattice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.again import look_again
from pipeline.reduction.axis import AxisSearch, find_tilt_axis, sense_of_rotation
from pipeline.reduction.cell import find_cell, reduce_basis
from pipeline.reduction.errors import ReductionError
from pipeline.reduction.geometry import Geometry, turned
from pipeline.reduction.indexing import index_in_space, points_at_zero_tilt
from pipeline.reduction.lattice import Indexed, choose_symmetry, refine_indexed, refine_primitive
from pipeline.reduction.predict import excitation
from pipeline.reduction.series import px_per_inverse_angstrom, sweep_of
from pipeline.reduction.spots import Survey
from pipeline.reduction.superlattice.search import find_superlattice
from pipeline.types import Peaks
from twin.model.dataset import Dataset
from twin.physics.projection import g_from_pixels, on_ewald_sphere

Floats = NDArray[np.float64]

WIDTH = 0.012  # Å⁻¹ beyond the sweep in which spots are looked for before the relrod is known


def search_axis(dataset: Dataset, seen: Survey) -> tuple[AxisSearch, Floats, float]:
    """Azimuth, weights of the spots, and the |g| up to which lattices are searched."""
    peaks = seen.peaks
    pixels = np.stack([peaks.fast_px, peaks.slow_px], axis=1)
    g_xy = g_from_pixels(pixels=pixels, microscope=dataset.microscope, centre_px=seen.centre_px[peaks.frame])
    g = on_ewald_sphere(g_xy=g_xy, energy_kev=dataset.microscope.beam.energy_kev)
    length = np.linalg.norm(g, axis=1)
    limit = float(np.clip(np.quantile(length, 0.9), 0.35, 1.0))
    weight = np.minimum(peaks.intensity / peaks.sigma / 10.0, 1.0)
    inside = length < limit
    found = find_tilt_axis(
        g_lab=g[inside],
        frame=peaks.frame[inside],
        weight=weight[inside],
        alpha_deg=dataset.alpha_mid_deg,
        start_deg=dataset.microscope.projection.tilt_axis_deg,
        g_limit=limit,
    )
    return found, weight, limit


def plain_geometry(dataset: Dataset, seen: Survey, tilt_axis_deg: float) -> Geometry:
    """The nominal instrument with the azimuth of its axis, and no lattice yet."""
    projection = replace(dataset.microscope.projection, tilt_axis_deg=tilt_axis_deg)
    return Geometry(
        ub=np.eye(3),
        centre_px=seen.centre_px,
        turn=np.tile(np.eye(3), (len(dataset.counts), 1, 1)),
        alpha_deg=dataset.alpha_mid_deg,
        microscope=replace(dataset.microscope, projection=projection),
    )


def first_geometry(
    dataset: Dataset, seen: Survey, axis: AxisSearch, weight: Floats, limit: float
) -> tuple[Geometry, str]:
    geometry = plain_geometry(dataset, seen, axis.tilt_axis_deg)
    points = points_at_zero_tilt(peaks=seen.peaks, geometry=geometry)
    found = find_cell(points=points, weight=weight, g_limit=limit)
    geometry = replace(geometry, ub=np.asarray(np.linalg.inv(found.direct), dtype=np.float64))
    return geometry, (
        f"lattice: primitive volume {abs(np.linalg.det(found.direct)):.1f} Å³, "
        f"{100 * found.indexed_fraction:.0f} % of the spots below "
        f"{limit:.2f} Å⁻¹, {found.tried} cells tried"
    )


def opposite_sense(geometry: Geometry) -> Geometry:
    """The same spots read with the opposite sense of rotation: the mirror image through the detector plane."""
    mirror = np.diag([1.0, 1.0, -1.0])
    p = geometry.microscope.projection
    projection = replace(p, tilt_axis_deg=(p.tilt_axis_deg + 180.0) % 360.0)
    return replace(
        geometry,
        ub=-mirror @ geometry.ub,
        turn=mirror @ geometry.turn @ mirror,
        microscope=replace(geometry.microscope, projection=projection),
    )


def decide_sense(dataset: Dataset, peaks: Peaks, geometry: Geometry) -> tuple[Geometry, str, float]:
    """The geometry with the sense of rotation that the curvature of the Ewald sphere asks for, a sentence, and by how
    many standard deviations between frames."""
    points = points_at_zero_tilt(peaks=peaks, geometry=geometry)
    hkl, good = index_in_space(points=points, ub=geometry.ub)
    sweep = sweep_of(dataset, geometry.microscope.projection.tilt_axis_deg)
    g: Floats = turned(geometry.rotation, peaks.frame, hkl @ geometry.ub.T)
    good &= np.linalg.norm(g, axis=1) > 0.25
    if np.count_nonzero(good) < 20:
        return geometry, "sense of rotation: too few spots beyond 0.25 Å⁻¹ to decide, the nominal sense is kept", 0.0
    _, half = excitation(g_lab=g[good], sweep=sweep)
    sense = sense_of_rotation(
        g_model=g[good],
        frame=peaks.frame[good],
        half_sweep=half,
        weight=np.sqrt(peaks.intensity[good]),
        wavenumber=sweep.wavenumber,
        width=0.005,
    )
    return (geometry if sense.keep else opposite_sense(geometry)), sense.sentence(), abs(sense.sigmas)


def index_series(
    dataset: Dataset, peaks: Peaks, start: Geometry, g_peaks: float, seen: Survey | None = None
) -> tuple[Indexed, Floats, list[str]]:
    """Indexed spots, how far the pattern of each frame has jumped (frames, 2) in px, and sentences. With ``seen`` the
    frames themselves are asked for intensity between the points of the lattice."""
    px = px_per_inverse_angstrom(dataset)
    log = []
    geometry = start
    for attempt in range(2):
        geometry, sentence, sigmas = decide_sense(dataset, peaks, geometry)
        sweep = sweep_of(dataset, geometry.microscope.projection.tilt_axis_deg)
        geometry, hkl, good, _ = refine_primitive(
            peaks=peaks,
            geometry=geometry,
            sweep=sweep,
            px_per_angstrom=px,
            g_max_per_angstrom=g_peaks,
            width_per_angstrom=WIDTH,
        )
        if attempt == 1:
            log.append(sentence)
    if np.mean(good) < 0.2 or np.count_nonzero(good) < 40:
        raise ReductionError(
            f"no lattice: the best one explains {100 * float(np.mean(good)):.0f} % of {len(good)} spots, "
            f"at least 20 % are needed"
        )
    if seen is not None:
        finer = find_superlattice(
            dataset=dataset,
            geometry=geometry,
            sweep=sweep,
            gain=seen.noise.gain,
            g_max_per_angstrom=g_peaks,
            beam_radius_px=seen.beam_radius_px,
            peaks=peaks,
        )
        log.append(finer.sentence)
        if finer.index > 1:
            direct = reduce_basis(np.asarray(np.linalg.inv(finer.ub), dtype=np.float64))
            geometry = replace(geometry, ub=np.asarray(np.linalg.inv(direct), dtype=np.float64))
            geometry, hkl, good, _ = refine_primitive(
                peaks=peaks,
                geometry=geometry,
                sweep=sweep,
                px_per_angstrom=px,
                g_max_per_angstrom=g_peaks,
                width_per_angstrom=WIDTH,
            )
    found = choose_symmetry(peaks=peaks, geometry=geometry, sweep=sweep, hkl=hkl, good=good)
    log.extend(found.tried)
    found = refine_indexed(
        peaks=peaks, found=found, sweep=sweep, px_per_angstrom=px, g_max_per_angstrom=g_peaks, width_per_angstrom=WIDTH
    )
    found, jumped, more = look_again(
        peaks=peaks, found=found, sweep=sweep, px_per_angstrom=px, g_max_per_angstrom=g_peaks, width_per_angstrom=WIDTH
    )
    return replace(found, sense_sigmas=sigmas), jumped, log + more
