"""Where lattice points shifted by fractions of a cell meet the exposures of a series, and the counts there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from pipeline.reduction.background import series_bad_pixels
from pipeline.reduction.geometry import Geometry, to_pixels
from pipeline.reduction.indexing import lattice_points
from pipeline.reduction.predict import Sweep, near_spheres
from pipeline.reduction.superlattice.counts import CORE_PX, RING_PX, far_from, filtered, mark
from pipeline.types import Peaks
from twin.model.dataset import Dataset

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SPOT_WIDTH_PX = 1.2  # of a Gaussian that falls off no faster than spots do
TAIL_PER_ANGSTROM = 0.03  # beyond the sweep, to which a strong spot may still be seen
LONGEST_TAIL_PER_ANGSTROM = 0.06  # to which the strongest are: sinc² of 30 nm is still 2e-4 of its top there


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Places:
    """Where offset + lattice point meets an exposure: numbers of both and of the frame, position, |g|, s and half of
    the sweep, whether it is outside the direct beam and clear of the lattice's own spots, and filtered counts and their
    level (NaN where the filter does not fit, and where a shifted point is not clear); all (n, ...)."""

    offset: Ints
    point: Ints
    frame: Ints
    xy_px: Floats
    g: Floats
    s: Floats
    half: Floats
    outside: Bools
    clear: Bools
    far: Bools
    value: Floats
    level: Floats

    def share(self, width: float) -> Floats:
        """Signal expected in an exposure, up to a factor: part of a Gaussian curve of this ``width`` in Å⁻¹ that it
        sweeps, over its sweep; 0 beyond two widths."""
        root = np.sqrt(2.0) * width
        part = 0.5 * (erf((self.s + self.half) / root) - erf((self.s - self.half) / root))
        near = np.abs(self.s) < self.half + 2.0 * width
        return np.asarray(np.where(near, part / np.maximum(self.half, 0.5 * width) * width, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spots:
    """The lattice's own spots (n,), also where only the tail of a rocking curve is met: position in px and frame in
    ascending order, and the radius beyond which even the strong ones are lost in the background."""

    xy_px: Floats
    frame: Ints
    radius_px: float

    def clear(self, places_px: Floats, frame: Ints, frames: int) -> Bools:
        """Which places (n, 2) on ``frame`` (n,), ascending, have a filter that no spot on their frame reaches."""
        out = np.ones(len(frame), dtype=bool)
        ours, theirs = (np.searchsorted(f, np.arange(frames + 1)) for f in (frame, self.frame))
        for f in range(frames):
            a, b = slice(ours[f], ours[f + 1]), slice(theirs[f], theirs[f + 1])
            here, there = places_px[a], self.xy_px[b]
            out[a] = far_from(here[:, 0], here[:, 1], there[:, 0], there[:, 1], self.radius_px + CORE_PX)
        return out


def own_spots(
    geometry: Geometry, sweep: Sweep, g_max: float, px_per_angstrom: float, radius_px: float, tail_per_angstrom: float
) -> Spots:
    """Of the lattice ``geometry.ub``, a little further out than ``g_max``, as far from the sphere as the tail says."""
    beyond = g_max + 2.0 * (radius_px + CORE_PX) / px_per_angstrom
    points = lattice_points(ub=geometry.ub, centring="P", g_max_per_angstrom=beyond)
    _, frame, g, _, _ = near_spheres(
        g_zero=points @ geometry.ub.T,
        rotation=geometry.rotation,
        sweep=sweep,
        margin_per_angstrom=tail_per_angstrom,
    )
    return Spots(xy_px=to_pixels(geometry, g[:, :2], frame), frame=frame, radius_px=radius_px)


def spot_radius(peaks: Peaks, level: float) -> float:
    """Where a Gaussian of the strong spots' intensity sinks below a tenth of the noise of a pixel."""
    strong = float(np.quantile(peaks.intensity, 0.98)) / (2.0 * np.pi * SPOT_WIDTH_PX**2)
    return SPOT_WIDTH_PX * float(np.sqrt(2.0 * np.log(max(strong / (0.1 * np.sqrt(level)), 1.0))))


def sample(
    *,
    dataset: Dataset,
    geometry: Geometry,
    sweep: Sweep,
    points: Ints,
    offsets: Floats,
    width: float,
    spots: Spots,
    tails: Spots,
    beam_radius_px: float,
    every: int = 1,
) -> Places:
    """All h + offset (h in ``points``) that an exposure of every ``every``-th frame meets within two widths of the
    curve, with their counts. The first offset is 000; shifted points near a spot are not counted."""
    at_zero = (points[None, :, :] + offsets[:, None, :]).reshape(-1, 3) @ geometry.ub.T
    length = np.linalg.norm(at_zero, axis=1)  # offsets lead beyond the points: leave out what lies further than they
    kept = np.flatnonzero(length <= float(np.linalg.norm(points @ geometry.ub.T, axis=1).max()))
    frames = len(dataset.counts)
    some = np.arange(0, frames, every)
    row, number, g, s, half = near_spheres(
        g_zero=at_zero[kept], rotation=geometry.rotation[some], sweep=sweep, margin_per_angstrom=2.0 * width
    )
    frame, row = some[number], kept[row]
    xy = to_pixels(geometry, g[:, :2], frame)
    offset = row // len(points)
    outside = np.linalg.norm(xy - geometry.centre_px[frame], axis=1) > beam_radius_px + RING_PX
    clear = spots.clear(xy, frame, frames)
    value, level = _counts(dataset, frame, xy, outside & (clear | (offset == 0)), spots)
    return Places(
        offset=offset,
        point=row % len(points),
        frame=frame,
        xy_px=xy,
        g=length[row],
        s=s,
        half=half,
        outside=outside,
        clear=clear,
        far=clear & tails.clear(xy, frame, frames),
        value=value,
        level=level,
    )


def _counts(dataset: Dataset, frame: Ints, xy: Floats, wanted: Bools, spots: Spots) -> tuple[Floats, Floats]:
    value, level = np.full(len(frame), np.nan), np.full(len(frame), np.nan)
    frames = np.arange(len(dataset.counts) + 1)
    ours, theirs = np.searchsorted(frame, frames), np.searchsorted(spots.frame, frames)
    for f in np.unique(frame):
        own, near = slice(ours[f], ours[f + 1]), slice(theirs[f], theirs[f + 1])
        if not np.any(wanted[own]):
            continue
        bad = series_bad_pixels(dataset=dataset, frame=int(f))
        marked = np.zeros(bad.shape, dtype=np.bool_)
        mark(marked, spots.xy_px[near, 0], spots.xy_px[near, 1], spots.radius_px)
        value[own], level[own] = filtered(dataset.counts[f], bad, marked, xy[own, 0], xy[own, 1], wanted[own])
    return value, level
