"""First pass over the frames: direct beam, noise, spots."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.background import (
    Background,
    bad_on_frame,
    direct_beam_radius_px,
    fit_background,
    frame_background,
    radial_background,
    spread_background,
)
from pipeline.reduction.centre import direct_beam_centre, friedel_centre, smooth_centres
from pipeline.reduction.errors import ReductionError
from pipeline.reduction.noise import NoiseModel, estimate_noise
from pipeline.reduction.peaks import Found, find_peaks, join_found, purest_threshold, select_peaks
from pipeline.reduction.virtual_spots import WIDTHS, join_windows, virtual_spots
from pipeline.reduction.workspace import workspace
from pipeline.types import Peaks
from twin.model.dataset import Dataset

__all__ = ["Survey", "bad_on_frame", "survey"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FEW_A_FRAME = 6.0  # spots a frame below which sums of frames are searched too


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Survey:
    """centre_px (frames, 2), whether the direct beam was seen (frames,), radius of its mask, noise, spots, how they
    were found, and the background of each frame that was searched."""

    centre_px: Floats
    beam_seen: Bools
    beam_radius_px: float
    noise: NoiseModel
    peaks: Peaks
    said: str = ""
    backgrounds: dict[int, Background] = field(default_factory=dict)


def _beam_centres(dataset: Dataset) -> tuple[Floats, Bools]:
    p = dataset.microscope.projection
    start = (p.centre_fast_px, p.centre_slow_px)
    found = [
        direct_beam_centre(image=dataset.counts[f], bad_pixels=dataset.bad_pixels, start_px=start)
        for f in range(len(dataset.counts))
    ]
    seen = np.array([c is not None for c in found])
    centres = np.array([start if c is None else c[:2] for c in found], dtype=np.float64)
    return smooth_centres(centres_px=centres, known=seen), seen


def _spots(
    *,
    dataset: Dataset,
    centre_px: Floats,
    radius: float,
    gain: float,
    threshold: float,
    frames: NDArray[np.int64],
    backgrounds: dict[int, Background],
) -> Found:
    """Spots of the given frames; their backgrounds are left in ``backgrounds``."""
    lists = []
    work = workspace(dataset.bad_pixels.shape)
    for f in frames:
        c = (float(centre_px[f, 0]), float(centre_px[f, 1]))
        bad = bad_on_frame(dataset=dataset, frame=int(f), centre_px=centre_px[f], beam_radius_px=radius)
        image = dataset.counts[f]
        backgrounds[int(f)] = fit_background(image=image, bad_pixels=bad, centre_px=c)
        model = spread_background(backgrounds[int(f)], (image.shape[0], image.shape[1]), work.background)
        lists.append(
            find_peaks(
                image=image,
                background=model,
                bad_pixels=bad,
                frame=int(f),
                gain=gain,
                threshold=threshold,
                work=work,
            )
        )
    return join_found(lists)


def _noise(*, dataset: Dataset, centre_px: Floats, radius: float, frames: NDArray[np.int64]) -> NoiseModel:
    first = max(dataset.microscope.detector.counts_per_electron, 1.0)
    peaks = _spots(
        dataset=dataset, centre_px=centre_px, radius=radius, gain=first, threshold=4.0, frames=frames, backgrounds={}
    ).peaks
    models, masks = [], []
    for f in frames:
        c = (float(centre_px[f, 0]), float(centre_px[f, 1]))
        bad = bad_on_frame(dataset=dataset, frame=int(f), centre_px=centre_px[f], beam_radius_px=1.5 * radius)
        models.append(frame_background(image=dataset.counts[f], bad_pixels=bad, centre_px=c))
        own = peaks.frame == f
        for x, y in zip(peaks.fast_px[own].astype(int), peaks.slow_px[own].astype(int), strict=True):
            bad[max(y - 6, 0) : y + 7, max(x - 6, 0) : x + 7] = True
        masks.append(bad)
    return estimate_noise(
        frames=dataset.counts[frames], backgrounds=np.array(models), bad=np.array(masks), fallback_gain=first
    )


def survey(*, dataset: Dataset, px_per_inverse_angstrom: float, threshold: float = 5.0) -> Survey:
    """Centres, noise and spots of a series; a sentence when there is too little to go on."""
    frames = len(dataset.counts)
    if frames < 5:
        raise ReductionError(f"series '{dataset.name}' has {frames} frames; at least 5 are needed")
    if not any(bool(np.any(image[~dataset.bad_pixels])) for image in dataset.counts):
        raise ReductionError(f"series '{dataset.name}': every pixel that may be believed reads 0")
    centres, seen = _beam_centres(dataset)
    sample = np.unique(np.linspace(0, frames - 1, min(5, frames)).astype(np.int64))
    radii = []
    for f in sample[seen[sample]]:
        c = (float(centres[f, 0]), float(centres[f, 1]))
        radii.append(
            direct_beam_radius_px(
                profile=radial_background(image=dataset.counts[f], bad_pixels=dataset.bad_pixels, centre_px=c)
            )
        )
    radius = min(float(np.median(radii)) if radii else 3.0, 0.12 * px_per_inverse_angstrom)
    noise = _noise(dataset=dataset, centre_px=centres, radius=radius, frames=sample)
    backgrounds: dict[int, Background] = {}
    peaks, said = _all_spots(
        dataset=dataset,
        centre_px=centres,
        radius=radius,
        gain=noise.gain,
        threshold=threshold,
        backgrounds=backgrounds,
    )
    if len(peaks.frame) < 40:
        raise ReductionError(f"series '{dataset.name}': {said} on {frames} frames, at least 40 are needed")
    if not np.any(seen):
        centres = _friedel_centres(dataset, peaks)
    return Survey(
        centre_px=centres,
        beam_seen=seen,
        beam_radius_px=radius,
        noise=noise,
        peaks=peaks,
        said=said,
        backgrounds=backgrounds,
    )


def _all_spots(
    *,
    dataset: Dataset,
    centre_px: Floats,
    radius: float,
    gain: float,
    threshold: float,
    backgrounds: dict[int, Background],
) -> tuple[Peaks, str]:
    """Spots of single frames and, where those are few, of sums of frames; a sentence that says how they were found."""
    number = len(dataset.counts)
    every = np.arange(number)
    found = _spots(
        dataset=dataset,
        centre_px=centre_px,
        radius=radius,
        gain=gain,
        threshold=threshold,
        frames=every,
        backgrounds=backgrounds,
    )
    pixels = float(np.count_nonzero(~dataset.bad_pixels)) * number
    limit = purest_threshold(z=found.z, pixels=pixels, lowest=threshold)
    keep = found.z >= limit
    peaks = select_peaks(found.peaks, keep)
    if dataset.mode != "continuous" or np.count_nonzero(keep) >= FEW_A_FRAME * number:
        return peaks, f"{len(peaks.frame)} spots above {limit:.1f} sigma"
    sums, searched = virtual_spots(
        dataset=dataset, centre_px=centre_px, beam_radius_px=radius, gain=gain, threshold=threshold
    )
    both = join_windows(single=found, sums=sums)
    limit = purest_threshold(z=both.z, pixels=pixels + searched, lowest=threshold)
    peaks = select_peaks(both.peaks, both.z >= limit)
    return peaks, (
        f"{len(peaks.frame)} spots above {limit:.1f} sigma in three dimensions (single frames, where "
        f"{np.count_nonzero(keep)} were found, and sums of {' and '.join(map(str, WIDTHS))} frames)"
    )


def _friedel_centres(dataset: Dataset, peaks: Peaks) -> Floats:
    """Centre of each frame from pairs of spots of the five frames around it."""
    p = dataset.microscope.projection
    start = (p.centre_fast_px, p.centre_slow_px)
    frames = len(dataset.counts)
    centres, known = np.tile(np.array(start), (frames, 1)), np.zeros(frames, dtype=bool)
    for f in range(frames):
        own = np.flatnonzero(np.abs(peaks.frame - f) <= 1)
        own = own[np.argsort(-peaks.intensity[own])[:80]]
        x, y, pairs = friedel_centre(
            points_px=np.stack([peaks.fast_px[own], peaks.slow_px[own]], axis=1), start_px=start
        )
        centres[f], known[f] = (x, y), pairs >= 5
    if not np.any(known):
        raise ReductionError(
            f"series '{dataset.name}': neither a direct beam nor Friedel pairs show the centre within 30 px of {start}"
        )
    return smooth_centres(centres_px=centres, known=known)
