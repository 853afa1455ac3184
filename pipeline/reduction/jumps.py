"""Frames whose whole pattern has jumped: found where a frame's spots miss the lattice together by one and the same
shift.

Where the direct beam is hidden nothing else tells. A shift is believed when the spots that it brings onto predicted
reflections are more than chance gives in the best of all shifts that were tried (probability below 1/1000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import binom

from pipeline.reduction.geometry import Geometry, to_pixels
from pipeline.reduction.indexing import lattice_points
from pipeline.reduction.predict import Sweep, near_sphere
from pipeline.types import Peaks

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

REACH_PX = 8.0
TOLERANCE_PX = 0.8
POOR = 0.6  # share of the spots of a frame that must be indexed for it to be left alone
PROBABILITY = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Jumps:
    """Shift (frames, 2) in px to be added to the centres, zero for most, and how many spots each brings home."""

    shift_px: Floats
    spots: NDArray[np.int64]

    @property
    def frames(self) -> NDArray[np.int64]:
        """Frames that have jumped."""
        return np.flatnonzero(self.spots)

    def sentence(self) -> str:
        """For the log; empty when no frame has jumped."""
        if len(self.frames) == 0:
            return ""
        length = np.hypot(*self.shift_px[self.frames].T)
        named = ", ".join(str(int(f) + 1) for f in self.frames[:12]) + (" …" if len(self.frames) > 12 else "")
        return (
            f"pattern of {len(self.frames)} frames has jumped by {length.min():.1f} to {length.max():.1f} px "
            f"(frames {named}): {int(self.spots.sum())} spots brought onto the lattice"
        )


def _nearest(tree: cKDTree, points: Floats) -> tuple[Bools, NDArray[np.int64]]:
    """Which points (n, 2) have one of the tree within TOLERANCE_PX, and its number."""
    distance, which = tree.query(points, distance_upper_bound=TOLERANCE_PX)
    return np.isfinite(np.asarray(distance)), np.asarray(which, dtype=np.int64)


def best_shift(spots: Floats, predicted: Floats) -> tuple[Floats, int, float]:
    """Shift (2,) of the predictions (m, 2) that most of the spots (n, 2) agree with, their number, and the probability
    that the best of all shifts within REACH_PX does as well by chance."""
    tree = cKDTree(predicted)
    trials = np.concatenate(
        [spot - predicted[near] for spot, near in zip(spots, tree.query_ball_point(spots, REACH_PX), strict=True)]
    )
    if len(trials) == 0:
        return np.zeros(2), 0, 1.0
    hits = [int(np.sum(_nearest(tree, spots - trial)[0])) for trial in trials]
    best = trials[int(np.argmax(hits))]
    own, which = _nearest(tree, spots - best)
    shift = np.mean(spots[own] - predicted[which[own]], axis=0)
    around = np.asarray(tree.query_ball_point(spots, 4.0 * REACH_PX, return_length=True))
    density = float(np.mean(around)) / (np.pi * (4.0 * REACH_PX) ** 2)
    single = min(density * np.pi * TOLERANCE_PX**2, 1.0)
    # the trial itself puts one spot onto the lattice: the others must agree
    chance = len(trials) * float(binom.sf(int(own.sum()) - 2, max(len(spots) - 1, 1), single))
    return np.asarray(shift), int(own.sum()), min(chance, 1.0)


def frame_jumps(
    *,
    peaks: Peaks,
    good: Bools,
    geometry: Geometry,
    sweep: Sweep,
    centring: str,
    g_max_per_angstrom: float,
    width_per_angstrom: float,
) -> Jumps:
    """Look for a shift on every frame of which less than POOR of the spots are indexed (``good``, (n,))."""
    frames = len(geometry.alpha_deg)
    every = np.bincount(peaks.frame, minlength=frames)
    share = np.bincount(peaks.frame[good], minlength=frames) / np.maximum(every, 1)
    shift, number = np.zeros((frames, 2)), np.zeros(frames, dtype=np.int64)
    g_zero = lattice_points(ub=geometry.ub, centring=centring, g_max_per_angstrom=g_max_per_angstrom) @ geometry.ub.T
    rotation = geometry.rotation
    for f in np.flatnonzero((every >= 3) & (share < POOR)):
        own = peaks.frame == f
        _, g, _, _ = near_sphere(
            g_zero=g_zero, rotation=rotation[f], sweep=sweep, margin_per_angstrom=0.5 * width_per_angstrom
        )
        if len(g) == 0:
            continue
        spots = np.stack([peaks.fast_px[own], peaks.slow_px[own]], axis=1)
        found, hits, chance = best_shift(spots, to_pixels(geometry, g[:, :2], int(f)))
        if chance < PROBABILITY and hits > np.count_nonzero(good[own]) and np.hypot(*found) > TOLERANCE_PX:
            shift[f], number[f] = found, hits
    return Jumps(shift_px=shift, spots=number)
