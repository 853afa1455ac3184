"""Stills of many particles, known cell and Laue class -> orientations and reflections.

Survey of the frames, camera length from the known |g|, templates, least squares frame by frame, centring, integration,
the setting of every frame, orientations from intensities, merging. Frames without an orientation are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.errors import ReductionError
from pipeline.reduction.geometry import Geometry
from pipeline.reduction.integrate_series import Backgrounds, integrate_series, learn_profile
from pipeline.reduction.lattice import spot_sigma_px
from pipeline.reduction.observations import Observations
from pipeline.reduction.predict import Sweep
from pipeline.reduction.refine_geometry import Positions
from pipeline.reduction.rocking import Rocking
from pipeline.reduction.serial.assemble import SerialReduction, assemble_serial, peak_of
from pipeline.reduction.serial.index import IndexedStills, index_stills
from pipeline.reduction.serial.known import KnownLattice, find_centring
from pipeline.reduction.serial.outliers import fitting
from pipeline.reduction.serial.refine import refine_stills
from pipeline.reduction.serial.scale import calibrated
from pipeline.reduction.serial.settings import ChosenSettings, choose_settings
from pipeline.reduction.serial.stills import Still
from pipeline.reduction.series import px_per_inverse_angstrom, sweep_of
from pipeline.reduction.shares import passage
from pipeline.reduction.spot_profile import SpotProfile
from pipeline.reduction.spots import Survey, survey
from pipeline.types import Peaks
from twin.model.dataset import Dataset

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Progress = Callable[[str, float], None]

LEAST_FRAMES_SHARE = 0.2  # of the frames that must have an orientation
LEAST_CORRELATION = 0.3  # of a frame's amplitudes with those of the others


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SerialSpots:
    """Spots of the frames that are kept, these numbered anew: peaks, and the index of each (n, 3), zeros for none."""

    peaks: Peaks
    hkl: Ints

    @property
    def good(self) -> NDArray[np.bool_]:
        return np.asarray(np.any(self.hkl != 0, axis=1))


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
    microscope = calibrated(
        peaks=seen.peaks, centre_px=seen.centre_px, microscope=dataset.microscope, known=known
    )
    tell("orientations", 0.2)
    found = index_stills(
        peaks=seen.peaks,
        centre_px=seen.centre_px,
        known=known,
        microscope=microscope,
        sweep=sweep,
        tell=lambda part: tell("orientations", 0.2 + 0.3 * part),
    )
    log = [f"noise: gain {seen.noise.gain:.2f} counts; {len(seen.peaks.frame)} spots on {len(dataset.counts)} stills"]
    log.append(found.sentence())
    if len(found.found) < max(LEAST_FRAMES_SHARE * len(dataset.counts), 5):
        cell = " ".join(f"{v:g}" for v in known.cell.parameters)
        raise ReductionError(
            f"{found.sentence()}: at least {100 * LEAST_FRAMES_SHARE:.0f} % are needed; is {cell} the right cell?"
        )
    kept = np.array(found.found)
    spots = _kept_spots(seen, found)
    if not given_centring:
        centring, broken = find_centring(spots.hkl[spots.good])
        known = replace(known, centring=centring)
        log.append(f"centring {centring}: {100 * broken:.1f} % of the indexed spots break it")
    few, view = _few(dataset, kept), _view(seen, spots, kept)
    geometry = Geometry(
        ub=known.reciprocal,
        centre_px=np.array([_still(found, f).centre_px for f in kept]),
        turn=np.array([_still(found, f).rotation for f in kept]),
        alpha_deg=np.zeros(len(kept)),
        microscope=microscope,
    )
    g_max = g_max_per_angstrom or _seen_limit(spots, known)
    tell("integration", 0.5)
    o, geometry, chosen, rocking, profile = _integrated(few, view, spots, geometry, known, sweep, g_max)
    log.append(chosen.sentence())
    tell("refinement", 0.85)
    fit = refine_stills(
        geometry=geometry,
        spots=_positions(spots, known, chosen),
        observations=o,
        sweep=sweep,
        hall=known.hall,
        rocking=rocking,
    )
    agree = chosen.correlation[np.arange(len(kept)), chosen.setting] >= LEAST_CORRELATION
    agree &= fitting(o, fit)
    log.append(f"{np.count_nonzero(~agree)} frames left out: their intensities or scales are not those of the others")
    return assemble_serial(
        seen=seen,
        kept=kept,
        agree=agree,
        o=o,
        fit=fit,
        sweep=sweep,
        known=known,
        g_max=g_max,
        profile=profile,
        indexed_fraction=float(np.mean(spots.good)),
        log=log,
    )


def _still(found: IndexedStills, frame: int) -> Still:
    still = found.stills[frame]
    assert still is not None
    return still


def _kept_spots(seen: Survey, found: IndexedStills) -> SerialSpots:
    """Spots of the frames with an orientation, frames numbered from 0 without gaps."""
    peaks, hkl = seen.peaks, np.zeros((len(seen.peaks.frame), 3), dtype=np.int64)
    number = np.full(len(found.stills), -1, dtype=np.int64)
    for n, f in enumerate(found.found):
        row = _still(found, f).row
        own = np.flatnonzero(peaks.frame == f)
        hkl[own[row >= 0]] = found.lattice.hkl[row[row >= 0]]
        number[f] = n
    use = number[peaks.frame] >= 0
    renumbered = Peaks(
        frame=number[peaks.frame[use]],
        fast_px=peaks.fast_px[use],
        slow_px=peaks.slow_px[use],
        intensity=peaks.intensity[use],
        sigma=peaks.sigma[use],
    )
    return SerialSpots(peaks=renumbered, hkl=hkl[use])


def _few(dataset: Dataset, kept: Ints) -> Dataset:
    if len(kept) == len(dataset.counts):
        return dataset
    return replace(
        dataset,
        counts=dataset.counts[kept],
        alpha_start_deg=dataset.alpha_start_deg[kept],
        alpha_end_deg=dataset.alpha_end_deg[kept],
        exposure_s=dataset.exposure_s[kept],
    )


def _view(seen: Survey, spots: SerialSpots, kept: Ints) -> Survey:
    return replace(seen, centre_px=seen.centre_px[kept], beam_seen=seen.beam_seen[kept], peaks=spots.peaks)


def _seen_limit(spots: SerialSpots, known: KnownLattice) -> float:
    return float(np.quantile(np.linalg.norm(spots.hkl[spots.good] @ known.reciprocal.T, axis=1), 0.99))


def _first_rocking(spots: SerialSpots, geometry: Geometry, sweep: Sweep) -> Rocking:
    """A sphere whose width is that of the indexed spots: half of a rocking curve lies within 0.28 of its width."""
    nothing = np.zeros(np.count_nonzero(spots.good))
    o = Observations(
        hkl=spots.hkl[spots.good], frame=spots.peaks.frame[spots.good], intensity=nothing, sigma=nothing,
        fast_px=nothing, slow_px=nothing,
    )  # fmt: skip
    s = passage(o, geometry, sweep).s
    return Rocking(shape="sphere", width_per_angstrom=1.5 * float(np.median(np.abs(s))))


def _integrated(
    dataset: Dataset,
    seen: Survey,
    spots: SerialSpots,
    geometry: Geometry,
    known: KnownLattice,
    sweep: Sweep,
    g_max: float,
) -> tuple[Observations, Geometry, ChosenSettings, Rocking, SpotProfile]:
    """Observations in the settings that agree, the geometry in them, the settings, rocking curve and profile."""
    peaks, good = spots.peaks, spots.good
    strong = good & (peaks.intensity > 12.0 * peaks.sigma)
    if np.count_nonzero(strong) < 20:
        strong = good & (peaks.intensity >= np.quantile(peaks.intensity[good], 0.5))
    backgrounds: Backgrounds = {}
    profile = learn_profile(dataset=dataset, seen=seen, geometry=geometry, strong=strong, backgrounds=backgrounds)
    rocking = _first_rocking(spots, geometry, sweep)
    o, profile = integrate_series(
        dataset=dataset,
        seen=seen,
        geometry=geometry,
        centring=known.centring,
        profile=profile,
        g_max_per_angstrom=g_max,
        rocking=rocking,
        backgrounds=backgrounds,
    )
    where = passage(o, geometry, sweep)
    height = where.share(rocking)[0] / peak_of(rocking, where.g_length)
    chosen = choose_settings(o=o, height=height, g_length=where.g_length, known=known, frames=len(geometry.alpha_deg))
    o, geometry = _in_setting(o, geometry, known, chosen)
    return o, geometry, chosen, rocking, profile


def _renamed(hkl: Ints, frame: Ints, known: KnownLattice, chosen: ChosenSettings) -> Ints:
    """Indices h' = T⁻¹ h in each frame's setting."""
    inverse = np.rint(np.linalg.inv(known.settings)).astype(np.int64)
    return np.asarray(np.einsum("nij,nj->ni", inverse[chosen.setting[frame]], hkl))


def _positions(spots: SerialSpots, known: KnownLattice, chosen: ChosenSettings) -> Positions:
    """The indexed spots in the frames' settings."""
    peaks, good = spots.peaks, spots.good
    return Positions(
        hkl=_renamed(spots.hkl[good], peaks.frame[good], known, chosen),
        frame=peaks.frame[good],
        observed_px=np.stack([peaks.fast_px, peaks.slow_px], axis=1)[good],
        sigma_px=spot_sigma_px(peaks)[good],
    )


def _in_setting(
    o: Observations, geometry: Geometry, known: KnownLattice, chosen: ChosenSettings
) -> tuple[Observations, Geometry]:
    """Indices h' = T⁻¹ h and turns R' = R B T B⁻¹ of each frame's setting."""
    b = known.reciprocal
    turns = b @ known.settings @ np.linalg.inv(b)
    u, _, v = np.linalg.svd(turns)
    turn = geometry.turn @ (u @ v)[chosen.setting]
    return replace(o, hkl=_renamed(o.hkl, o.frame, known, chosen)), replace(geometry, turn=turn)
