"""Stills of many particles, known cell and Laue class -> orientations and reflections.

Survey of the frames, camera length from the known |g|, templates, least squares frame by frame, centring, integration,
the setting of every frame, orientations from intensities, merging. Frames without an orientation are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.errors import ReductionError
from pipeline.reduction.integrate_series import Backgrounds, integrate_series, learn_profile
from pipeline.reduction.observations import Observations
from pipeline.reduction.predict import Sweep
from pipeline.reduction.rocking import Rocking
from pipeline.reduction.serial.assemble import SerialReduction, assemble_serial, peak_of
from pipeline.reduction.serial.index import IndexedStills, index_stills
from pipeline.reduction.serial.kept import KeptStills, first_rocking, in_setting, indexed_positions, keep_indexed
from pipeline.reduction.serial.known import KnownLattice, find_centring
from pipeline.reduction.serial.outliers import fitting
from pipeline.reduction.serial.refine import refine_stills
from pipeline.reduction.serial.scale import calibrated
from pipeline.reduction.serial.settings import ChosenSettings, choose_settings
from pipeline.reduction.series import px_per_inverse_angstrom, sweep_of
from pipeline.reduction.shares import passage
from pipeline.reduction.spot_profile import SpotProfile
from pipeline.reduction.spots import Survey, survey
from twin.model.dataset import Dataset
from twin.model.instrument import Microscope

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]

LEAST_FRAMES_SHARE = 0.2  # of the frames that must have an orientation
LEAST_CORRELATION = 0.3  # of a frame's amplitudes with those of the others


def reduce_serial(
    *,
    dataset: Dataset,
    known: KnownLattice,
    g_max_per_angstrom: float | None = None,
    given_centring: bool = False,
    progress: Progress | None = None,
) -> SerialReduction:
    """The whole chain. ``given_centring``: that of ``known`` is to be believed; else it is found from the spots."""
    tell = progress or (lambda step, part: None)
    tell("spots", 0.0)
    seen = survey(dataset=dataset, px_per_inverse_angstrom=px_per_inverse_angstrom(dataset))
    sweep = sweep_of(dataset, dataset.microscope.projection.tilt_axis_deg)
    log = [f"noise: gain {seen.noise.gain:.2f} counts; {len(seen.peaks.frame)} spots on {len(dataset.counts)} stills"]
    microscope, found = _oriented(dataset, seen, known, sweep, tell)
    log.append(found.sentence())
    kept = keep_indexed(dataset=dataset, seen=seen, found=found, known=known, microscope=microscope)
    if not given_centring:
        centring, broken = find_centring(kept.hkl[kept.good])
        known = replace(known, centring=centring)
        log.append(f"centring {centring}: {100 * broken:.1f} % of the indexed spots break it")
    g_max = g_max_per_angstrom or kept.furthest_per_angstrom()
    tell("integration", 0.5)
    rocking = first_rocking(kept, sweep)
    o, profile = _integrated(kept, known, rocking, g_max)
    chosen = _settings(kept, o, known, rocking, sweep)
    kept, o = in_setting(kept, o, known, chosen)
    log.append(chosen.sentence())
    tell("refinement", 0.85)
    fit = refine_stills(
        geometry=kept.geometry,
        spots=indexed_positions(kept),
        observations=o,
        sweep=sweep,
        hall=known.hall,
        rocking=rocking,
    )
    agree = chosen.correlation[np.arange(len(kept.number)), chosen.setting] >= LEAST_CORRELATION
    agree &= fitting(o, fit)
    log.append(f"{np.count_nonzero(~agree)} frames left out: their intensities or scales are not those of the others")
    return assemble_serial(
        seen=seen,
        kept=kept.number,
        agree=agree,
        o=o,
        fit=fit,
        sweep=sweep,
        known=known,
        g_max=g_max,
        profile=profile,
        indexed_fraction=float(np.mean(kept.good)),
        log=log,
    )


def _oriented(
    dataset: Dataset, seen: Survey, known: KnownLattice, sweep: Sweep, tell: Progress
) -> tuple[Microscope, IndexedStills]:
    """The microscope with its camera length, and the stills' orientations; an error when too few have one."""
    microscope = calibrated(peaks=seen.peaks, centre_px=seen.centre_px, microscope=dataset.microscope, known=known)
    tell("orientations", 0.2)
    found = index_stills(
        peaks=seen.peaks,
        centre_px=seen.centre_px,
        known=known,
        microscope=microscope,
        sweep=sweep,
        tell=lambda part: tell("orientations", 0.2 + 0.3 * part),
    )
    if len(found.found) < max(LEAST_FRAMES_SHARE * len(dataset.counts), 5):
        cell = " ".join(f"{v:g}" for v in known.cell.parameters)
        raise ReductionError(
            f"{found.sentence()}: at least {100 * LEAST_FRAMES_SHARE:.0f} % are needed; is {cell} the right cell?"
        )
    return microscope, found


def _integrated(
    kept: KeptStills, known: KnownLattice, rocking: Rocking, g_max: float
) -> tuple[Observations, SpotProfile]:
    """Every reflection near the Ewald sphere on every still, and the shape of the spots."""
    backgrounds: Backgrounds = {}
    profile = learn_profile(
        dataset=kept.dataset, seen=kept.seen, geometry=kept.geometry, strong=kept.strong, backgrounds=backgrounds
    )
    return integrate_series(
        dataset=kept.dataset,
        seen=kept.seen,
        geometry=kept.geometry,
        centring=known.centring,
        profile=profile,
        g_max_per_angstrom=g_max,
        rocking=rocking,
        backgrounds=backgrounds,
    )


def _settings(
    kept: KeptStills, o: Observations, known: KnownLattice, rocking: Rocking, sweep: Sweep
) -> ChosenSettings:
    where = passage(o, kept.geometry, sweep)
    height = where.share(rocking)[0] / peak_of(rocking, where.g_length)
    return choose_settings(o=o, height=height, g_length=where.g_length, known=known, frames=len(kept.number))
