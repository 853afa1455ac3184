"""Frames and nominal settings -> lattice, orientations, reflections. See docs/architecture.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pipeline.reduction.assemble import ReducedSeries, assemble
from pipeline.reduction.axis import AxisSearch
from pipeline.reduction.first_lattice import first_geometry, index_series, search_axis
from pipeline.reduction.indexing import points_at_zero_tilt
from pipeline.reduction.integrate_series import Backgrounds, integrate_series, learn_profile
from pipeline.reduction.known_series import GivenCell, index_with_known_cell
from pipeline.reduction.lattice import Indexed
from pipeline.reduction.orient import orient, with_expected_sigma
from pipeline.reduction.rocking import Rocking
from pipeline.reduction.series import px_per_inverse_angstrom, sweep_of
from pipeline.reduction.spots import Survey, survey
from pipeline.reduction.unexplained import unexplained_spots
from twin.model.dataset import Dataset

__all__ = ["ReducedSeries", "reduce_series"]

Progress = Callable[[str, float], None]

WIDE = Rocking(shape="sphere", width_per_angstrom=0.0075)  # until the data say better


def resolution_limit(dataset: Dataset, seen: Survey, found: Indexed, asked: float | None) -> float:
    """Asked for, or where indexed spots end; never beyond the nearest edge of the detector by more than a fifth."""
    if asked is not None:
        return asked
    g = np.linalg.norm(found.hkl[found.good] @ found.geometry.ub.T, axis=1)
    rows, columns = dataset.bad_pixels.shape
    c = np.median(seen.centre_px, axis=0)
    edge = min(c[0], c[1], columns - c[0], rows - c[1]) / px_per_inverse_angstrom(dataset)
    return float(min(np.quantile(g, 0.99), 1.2 * edge))


def reduce_series(
    *,
    dataset: Dataset,
    g_max_per_angstrom: float | None = None,
    known: GivenCell | None = None,
    progress: Progress | None = None,
) -> ReducedSeries:
    """The whole chain. ``known``: a cell to be oriented, where none could be found. ``progress`` is told the step and
    the part done (0 to 1)."""
    tell = progress or (lambda step, part: None)
    tell("spots", 0.0)
    seen = survey(dataset=dataset, px_per_inverse_angstrom=px_per_inverse_angstrom(dataset))
    log = [
        f"noise: gain {seen.noise.gain:.2f} counts from {seen.noise.pixels} pixels; "
        f"{seen.said or len(seen.peaks.frame)}; direct beam seen on "
        f"{np.count_nonzero(seen.beam_seen)} of {len(seen.beam_seen)} frames, masked to {seen.beam_radius_px:.0f} px"
    ]
    tell("tilt axis", 0.3)
    axis, weight, limit = search_axis(dataset, seen)
    log.append(
        f"tilt axis: azimuth {axis.tilt_axis_deg:.1f}°, nominal {dataset.microscope.projection.tilt_axis_deg:.1f}°, "
        f"contrast {axis.contrast_ratio:.1f} times its median"
    )
    tell("lattice", 0.4)
    if known is None:
        start, sentence = first_geometry(dataset, seen, axis, weight, limit)
        log.append(sentence)
        points = points_at_zero_tilt(peaks=seen.peaks, geometry=start)
        g_peaks = float(np.quantile(np.linalg.norm(points, axis=1), 0.995))
        found, jumped, more = index_series(dataset, seen.peaks, start, g_peaks, seen)
    else:
        found, jumped, more, g_peaks = index_with_known_cell(dataset, seen, axis, weight, limit, known)
    seen = replace(seen, centre_px=seen.centre_px + jumped)
    log.extend(more)
    rest = unexplained_spots(peaks=seen.peaks, good=found.good, geometry=found.geometry, g_max_per_angstrom=g_peaks)
    log.extend([rest] if rest else [])
    tell("integration", 0.5)
    return _integrate_and_merge(
        dataset, seen, found, axis, resolution_limit(dataset, seen, found, g_max_per_angstrom), log, tell
    )


def _integrate_and_merge(
    dataset: Dataset, seen: Survey, found: Indexed, axis: AxisSearch, g_max: float, log: list[str], tell: Progress
) -> ReducedSeries:
    peaks, symmetry = seen.peaks, found.symmetry
    strong = found.good & (peaks.intensity > 12.0 * peaks.sigma)
    if np.count_nonzero(strong) < 20:
        strong = found.good & (peaks.intensity >= np.quantile(peaks.intensity[found.good], 0.5))
    backgrounds: Backgrounds = dict(seen.backgrounds)
    profile = learn_profile(dataset=dataset, seen=seen, geometry=found.geometry, strong=strong, backgrounds=backgrounds)
    geometry, hall, rocking = found.geometry, None, WIDE
    for final in (False, True):
        o, learned = integrate_series(
            dataset=dataset,
            seen=seen,
            geometry=geometry,
            centring=symmetry.centring,
            profile=profile,
            g_max_per_angstrom=g_max,
            rocking=rocking,
            backgrounds=backgrounds,
        )
        tell("orientation", 0.9 if final else 0.65)
        profile = profile if final else learned
        fit, evidence = orient(
            o,
            geometry,
            centre_px=seen.centre_px,
            sweep=sweep_of(dataset, geometry.microscope.projection.tilt_axis_deg),
            symmetry=symmetry,
            rocking=rocking,
            hall=hall,
            fixed_shape=found.fixed_shape,
        )
        hall, rocking, geometry = evidence.hall, fit.rocking, fit.geometry
    log.append(evidence.sentence())
    settled = with_expected_sigma(o, fit)
    return assemble(dataset, seen, found, axis, fit, evidence, settled, profile, g_max, log)
