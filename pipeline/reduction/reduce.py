"""Frames and nominal settings -> lattice, orientations, reflections. See docs/architecture.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipeline.reduction.axis import AxisSearch, find_tilt_axis, sense_of_rotation, tilt_rotations
from pipeline.reduction.background import frame_background
from pipeline.reduction.cell import find_cell
from pipeline.reduction.errors import ReductionError
from pipeline.reduction.gauge import common_gauge
from pipeline.reduction.indexing import index_in_space, lattice_points, points_at_zero_tilt
from pipeline.reduction.integrate import OVERSAMPLING, SpotProfile, integrate_frame, make_profile, profile_sums
from pipeline.reduction.lattice import Indexed, choose_symmetry, refine_indexed, refine_primitive
from pipeline.reduction.laue import LaueEvidence, laue_evidence
from pipeline.reduction.merge import FrameMerged, Shell, merge_equivalents, merge_frames, shells
from pipeline.reduction.noise import NoiseModel
from pipeline.reduction.observations import Observations, partialities
from pipeline.reduction.orientation import TiltFit, refine_tilts
from pipeline.reduction.predict import Sweep, excitation, swept_fraction
from pipeline.reduction.refine_geometry import Geometry
from pipeline.reduction.spots import Survey, bad_on_frame, survey
from pipeline.types import MergedReflections, Orientation, Peaks, Reflections
from twin.model.dataset import Dataset
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.lattice import cell_from_reciprocal_matrix
from twin.physics.projection import g_from_pixels, on_ewald_sphere, pixels_from_g

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Progress = Callable[[str, float], None]

WIDTH = 0.012  # Å⁻¹ beyond the sweep in which spots are looked for before the relrod is known


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReducedSeries:
    """Everything that leaves the reduction; ``log`` holds sentences in the order in which things were found."""

    peaks: Peaks
    orientation: Orientation
    reflections: Reflections
    merged: MergedReflections
    shells: tuple[Shell, ...]
    peak_hkl: Ints  # (spots, 3), zeros where not indexed
    noise: NoiseModel
    profile: SpotProfile
    axis_trials: Floats  # (m, 2) azimuth in degrees, contrast
    tilt_deg: Floats  # (frames, 3) correction of each frame as a rotation vector in the laboratory
    diameter_angstrom: float
    laue: LaueEvidence
    log: tuple[str, ...]


def px_per_inverse_angstrom(dataset: Dataset) -> float:
    """Scale of the detector at small angles, px for 1 Å⁻¹."""
    m = dataset.microscope
    length = m.projection.camera_length_mm * 1e3 / m.detector.pixel_size_um
    return float(length / wavenumber_per_angstrom(energy_kev=m.beam.energy_kev))


def _sweep(dataset: Dataset, tilt_axis_deg: float) -> Sweep:
    k = wavenumber_per_angstrom(energy_kev=dataset.microscope.beam.energy_kev)
    half = dataset.precession_deg
    if dataset.mode == "continuous":
        half = 0.5 * float(np.median(np.abs(dataset.alpha_end_deg - dataset.alpha_start_deg)))
    return Sweep(mode=dataset.mode, half_angle_deg=half, tilt_axis_deg=tilt_axis_deg, wavenumber=k)


def _axis(dataset: Dataset, seen: Survey) -> tuple[AxisSearch, Floats, float]:
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


def _first_geometry(
    dataset: Dataset, seen: Survey, axis: AxisSearch, weight: Floats, limit: float
) -> tuple[Geometry, str]:
    projection = replace(dataset.microscope.projection, tilt_axis_deg=axis.tilt_axis_deg)
    geometry = Geometry(
        ub=np.eye(3),
        centre_px=seen.centre_px,
        turn=np.tile(np.eye(3), (len(dataset.counts), 1, 1)),
        alpha_deg=dataset.alpha_mid_deg,
        microscope=replace(dataset.microscope, projection=projection),
    )
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


def _decide_sense(dataset: Dataset, peaks: Peaks, geometry: Geometry) -> tuple[Geometry, str]:
    points = points_at_zero_tilt(peaks=peaks, geometry=geometry)
    hkl, good = index_in_space(points=points, ub=geometry.ub)
    sweep = _sweep(dataset, geometry.microscope.projection.tilt_axis_deg)
    g = np.einsum("nij,nj->ni", geometry.rotation[peaks.frame], hkl @ geometry.ub.T)
    good &= np.linalg.norm(g, axis=1) > 0.25
    if np.count_nonzero(good) < 20:
        return geometry, "sense of rotation: too few spots beyond 0.25 Å⁻¹ to decide, the nominal sense is kept"
    _, half = excitation(g_lab=g[good], sweep=sweep)
    sense = sense_of_rotation(
        g_model=g[good],
        half_sweep=half,
        weight=np.sqrt(peaks.intensity[good]),
        wavenumber=sweep.wavenumber,
        width=0.005,
    )
    return (geometry if sense.keep else opposite_sense(geometry)), sense.sentence()


def _index(dataset: Dataset, peaks: Peaks, start: Geometry, g_peaks: float) -> tuple[Indexed, Geometry, list[str]]:
    px = px_per_inverse_angstrom(dataset)
    log = []
    geometry = start
    for attempt in range(2):
        geometry, sentence = _decide_sense(dataset, peaks, geometry)
        sweep = _sweep(dataset, geometry.microscope.projection.tilt_axis_deg)
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
    found = choose_symmetry(peaks=peaks, geometry=geometry, hkl=hkl, good=good)
    log.extend(found.tried)
    found = refine_indexed(
        peaks=peaks, found=found, sweep=sweep, px_per_angstrom=px, g_max_per_angstrom=g_peaks, width_per_angstrom=WIDTH
    )
    return found, geometry, log


def learn_profile(
    *, dataset: Dataset, seen: Survey, geometry: Geometry, strong: NDArray[np.bool_], reach_px: int = 9
) -> SpotProfile:
    """Mean shape of the strong indexed spots."""
    value = np.zeros((2 * reach_px * OVERSAMPLING + 1,) * 2)
    weight = np.zeros_like(value)
    peaks = seen.peaks
    for f in np.unique(peaks.frame[strong]):
        net, _, bad = _net(dataset, seen, geometry, int(f))
        own = strong & (peaks.frame == f)
        v, w = profile_sums(
            net=net,
            bad=bad,
            fast_px=peaks.fast_px[own],
            slow_px=peaks.slow_px[own],
            total=peaks.intensity[own],
            reach_px=reach_px,
        )
        value += v
        weight += w
    return make_profile(value=value, weight=weight)


def _net(
    dataset: Dataset, seen: Survey, geometry: Geometry, f: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    centre = geometry.centre_px[f]
    bad = bad_on_frame(dataset=dataset, frame=f, centre_px=centre, beam_radius_px=seen.beam_radius_px)
    model = frame_background(image=dataset.counts[f], bad_pixels=bad, centre_px=(float(centre[0]), float(centre[1])))
    return (dataset.counts[f] - model).astype(np.float32), model, bad


def integrate_series(
    *,
    dataset: Dataset,
    seen: Survey,
    geometry: Geometry,
    centring: str,
    profile: SpotProfile,
    g_max_per_angstrom: float,
    margin_per_angstrom: float,
) -> tuple[Observations, SpotProfile]:
    """Every reflection within ``margin_per_angstrom`` of the sweep, on every frame; and the profile learned on the
    way."""
    hkl = lattice_points(ub=geometry.ub, centring=centring, g_max_per_angstrom=g_max_per_angstrom)
    sweep = _sweep(dataset, geometry.microscope.projection.tilt_axis_deg)
    rotation = geometry.rotation
    parts: list[tuple[NDArray[np.generic], ...]] = []
    value, weight = np.zeros_like(profile.grid), np.zeros_like(profile.grid)
    for f in range(len(dataset.counts)):
        g = hkl @ (rotation[f] @ geometry.ub).T
        s, half = excitation(g_lab=g, sweep=sweep)
        near = np.flatnonzero(np.abs(s) < half + margin_per_angstrom)
        xy = pixels_from_g(g_xy=g[near, :2], microscope=geometry.microscope, centre_px=geometry.centre_px[f])
        net, model, bad = _net(dataset, seen, geometry, f)
        got = integrate_frame(
            net=net,
            background=model,
            bad=bad,
            fast_px=xy[:, 0].copy(),
            slow_px=xy[:, 1].copy(),
            profile=profile,
            gain=seen.noise.gain,
        )
        value += got.learned[0]
        weight += got.learned[1]
        u = got.usable
        parts.append(
            (hkl[near[u]], np.full(np.count_nonzero(u), f), got.intensity[u], got.sigma[u], xy[u, 0], xy[u, 1])
        )
    columns = [np.concatenate(c) for c in zip(*parts, strict=True)]
    o = Observations(
        hkl=columns[0], frame=columns[1], intensity=columns[2], sigma=columns[3], fast_px=columns[4], slow_px=columns[5]
    )
    return o, make_profile(value=value, weight=weight) if np.count_nonzero(weight) > 0.9 * weight.size else profile


def _frames_merged(o: Observations, fit: TiltFit, ub: Floats, sweep: Sweep) -> FrameMerged:
    p, s, half, _ = partialities(
        observations=o, rotation=fit.rotation, ub=ub, sweep=sweep, diameter_angstrom=fit.diameter_angstrom
    )
    swept = swept_fraction(s=s, half_sweep=half, diameter_angstrom=fit.diameter_angstrom)
    return merge_frames(observations=o, share=p * fit.scale[o.frame], swept=swept)


def _orient(
    o: Observations, geometry: Geometry, sweep: Sweep, system: str, diameter: float, hall: str | None
) -> tuple[TiltFit, LaueEvidence]:
    """Tilts of the frames and the Laue class, each with the other's help."""
    fit: TiltFit | None = None
    current = hall or "-P 1"
    evidence: LaueEvidence | None = None
    for _ in range(3):
        fit = refine_tilts(
            observations=o,
            rotation=geometry.rotation,
            ub=geometry.ub,
            sweep=sweep,
            hall=current,
            diameter_angstrom=diameter if fit is None else fit.diameter_angstrom,
        )
        merged = _frames_merged(o, fit, geometry.ub, sweep)
        evidence = laue_evidence(hkl=merged.hkl, intensity=merged.intensity, sigma=merged.sigma, system=system)
        if evidence.hall == current:
            break
        current = evidence.hall
    if fit is None or evidence is None:
        raise AssertionError("at least one round is made")
    return fit, evidence


def _with_tilts(geometry: Geometry, fit: TiltFit) -> Geometry:
    """Tilts into the geometry, with azimuth and crystal turn such that the corrections are smallest."""
    p = geometry.microscope.projection
    azimuth, q = common_gauge(rotation=fit.rotation, alpha_deg=geometry.alpha_deg, tilt_axis_deg=p.tilt_axis_deg)
    stage = tilt_rotations(tilt_axis_deg=azimuth, alpha_deg=geometry.alpha_deg)
    turn = fit.rotation @ q.T @ stage.transpose(0, 2, 1)
    microscope = replace(geometry.microscope, projection=replace(p, tilt_axis_deg=azimuth % 360.0))
    return replace(geometry, ub=q @ geometry.ub, turn=turn, microscope=microscope)


def _g_limit(dataset: Dataset, seen: Survey, found: Indexed, asked: float | None) -> float:
    """Asked for, or where indexed spots end; never beyond the nearest edge of the detector by more than a fifth."""
    if asked is not None:
        return asked
    g = np.linalg.norm(found.hkl[found.good] @ found.geometry.ub.T, axis=1)
    rows, columns = dataset.bad_pixels.shape
    c = np.median(seen.centre_px, axis=0)
    edge = min(c[0], c[1], columns - c[0], rows - c[1]) / px_per_inverse_angstrom(dataset)
    return float(min(np.quantile(g, 0.99), 1.2 * edge))


def reduce_series(
    *, dataset: Dataset, g_max_per_angstrom: float | None = None, progress: Progress | None = None
) -> ReducedSeries:
    """The whole chain. ``progress`` is told the step and the part done (0 to 1)."""
    tell = progress or (lambda step, part: None)
    tell("spots", 0.0)
    seen = survey(dataset=dataset, px_per_inverse_angstrom=px_per_inverse_angstrom(dataset))
    log = [
        f"noise: gain {seen.noise.gain:.2f} counts from {seen.noise.pixels} pixels; "
        f"{len(seen.peaks.frame)} spots; direct beam seen on "
        f"{np.count_nonzero(seen.beam_seen)} of {len(seen.beam_seen)} frames, masked to {seen.beam_radius_px:.0f} px"
    ]
    tell("tilt axis", 0.3)
    axis, weight, limit = _axis(dataset, seen)
    log.append(
        f"tilt axis: azimuth {axis.tilt_axis_deg:.1f}°, nominal {dataset.microscope.projection.tilt_axis_deg:.1f}°, "
        f"contrast {axis.contrast_ratio:.1f} times its median"
    )
    tell("lattice", 0.4)
    start, sentence = _first_geometry(dataset, seen, axis, weight, limit)
    log.append(sentence)
    points = points_at_zero_tilt(peaks=seen.peaks, geometry=start)
    g_peaks = float(np.quantile(np.linalg.norm(points, axis=1), 0.995))
    found, _, more = _index(dataset, seen.peaks, start, g_peaks)
    log.extend(more)
    tell("integration", 0.5)
    return _integrate_and_merge(
        dataset, seen, found, axis, _g_limit(dataset, seen, found, g_max_per_angstrom), log, tell
    )


def _integrate_and_merge(
    dataset: Dataset, seen: Survey, found: Indexed, axis: AxisSearch, g_max: float, log: list[str], tell: Progress
) -> ReducedSeries:
    peaks, centring, system = seen.peaks, found.symmetry.centring, found.symmetry.system
    strong = found.good & (peaks.intensity > 12.0 * peaks.sigma)
    if np.count_nonzero(strong) < 20:
        strong = found.good & (peaks.intensity >= np.quantile(peaks.intensity[found.good], 0.5))
    profile = learn_profile(dataset=dataset, seen=seen, geometry=found.geometry, strong=strong)
    geometry, hall, diameter, margin = found.geometry, None, 100.0, 0.015
    for final in (False, True):
        sweep = _sweep(dataset, geometry.microscope.projection.tilt_axis_deg)
        o, learned = integrate_series(
            dataset=dataset,
            seen=seen,
            geometry=geometry,
            centring=centring,
            profile=profile,
            g_max_per_angstrom=g_max,
            margin_per_angstrom=margin,
        )
        tell("orientation", 0.9 if final else 0.65)
        profile = profile if final else learned
        fit, evidence = _orient(o, geometry, sweep, system, diameter, hall)
        hall, diameter = evidence.hall, fit.diameter_angstrom
        margin = float(np.clip(2.0 / diameter, 0.002, 0.03))
        geometry = _with_tilts(geometry, fit)
    fit = replace(fit, rotation=geometry.rotation)
    log.append(evidence.sentence())
    return _assemble(dataset, seen, found, axis, geometry, fit, evidence, o, profile, g_max, log)


def _assemble(
    dataset: Dataset,
    seen: Survey,
    found: Indexed,
    axis: AxisSearch,
    geometry: Geometry,
    fit: TiltFit,
    evidence: LaueEvidence,
    o: Observations,
    profile: SpotProfile,
    g_max: float,
    log: list[str],
) -> ReducedSeries:
    sweep = _sweep(dataset, geometry.microscope.projection.tilt_axis_deg)
    d = fit.diameter_angstrom
    p, s, half, _ = partialities(
        observations=o, rotation=fit.rotation, ub=geometry.ub, sweep=sweep, diameter_angstrom=d
    )
    swept = swept_fraction(s=s, half_sweep=half, diameter_angstrom=d)
    unit = float(np.median(p[swept > 0.6])) if np.any(swept > 0.6) else float(np.median(p))
    reflections = Reflections(
        hkl=o.hkl,
        frame=o.frame,
        intensity=o.intensity,
        sigma=o.sigma,
        fast_px=o.fast_px,
        slow_px=o.slow_px,
        excitation_error_per_angstrom=s,
        swept_fraction=swept,
        frame_scale=fit.scale,
        precession_deg=sweep.half_angle_deg,
        partiality=p / unit,
    )
    frames = merge_frames(observations=o, share=p / unit * fit.scale[o.frame], swept=swept)
    centring, ub = found.symmetry.centring, geometry.ub
    merged = merge_equivalents(frames=frames, hall=evidence.hall, centring=centring, ub=ub, g_max_per_angstrom=g_max)
    turn_deg = np.degrees(Rotation.from_matrix(geometry.turn).as_rotvec())
    on_frame = np.bincount(seen.peaks.frame[found.good], minlength=len(dataset.counts))
    every = np.bincount(seen.peaks.frame, minlength=len(dataset.counts))
    indexed = (on_frame >= 5) & (on_frame >= 0.3 * every)
    low = np.linalg.norm(found.hkl @ ub.T, axis=1) < 0.9 * g_max
    fraction = float(np.mean(found.good[low | ~found.good])) if len(low) else 0.0
    log.append(
        f"frames: corrections {np.sqrt(np.mean(turn_deg**2, axis=0)).round(3).tolist()}° rms about x, y, "
        f"z; relrod of a sphere of {d:.0f} Å; "
        f"azimuth {geometry.microscope.projection.tilt_axis_deg:.3f}°; residual {found.rms_px:.3f} px; ellipse "
        f"{geometry.microscope.projection.ellipse_percent:.2f} % at "
        f"{geometry.microscope.projection.ellipse_azimuth_deg:.0f}°"
    )
    log.append(
        f"merged: {len(merged.hkl)} unique to {g_max:.2f} Å⁻¹, R_int {merged.r_int_percent:.1f} %, "
        f"completeness {merged.completeness_percent:.0f} %, "
        f"redundancy {merged.redundancy:.1f}, {frames.rejected} spots rejected"
    )
    orientation = Orientation(
        cell=cell_from_reciprocal_matrix(ub),
        ub=ub,
        rotation=fit.rotation,
        centre_px=geometry.centre_px,
        microscope=geometry.microscope,
        indexed=indexed,
        hall=evidence.hall,
        centring=centring,
        indexed_peaks_fraction=fraction,
        notes=tuple(log),
    )
    return ReducedSeries(
        peaks=seen.peaks,
        orientation=orientation,
        reflections=reflections,
        merged=merged,
        shells=shells(frames=frames, hall=evidence.hall, centring=centring, ub=ub, g_max_per_angstrom=g_max),
        peak_hkl=np.where(found.good[:, None], found.hkl, 0),
        noise=seen.noise,
        profile=profile,
        axis_trials=axis.trials,
        tilt_deg=turn_deg,
        diameter_angstrom=d,
        laue=evidence,
        log=tuple(log),
    )
