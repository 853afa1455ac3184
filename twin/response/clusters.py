"""Hits of one electron: a cluster of neighbouring pixels, not one count.

A 120–200 keV electron wanders over several 55 µm pixels of silicon and fires each pixel above threshold (2–5 of them;
Monte Carlo in the project's notes, measured MTF in arXiv 2411.16258). Clusters are drawn from compact patterns whose
mean size is ``counts_per_electron``. As electrons arrive independently, those that make each pattern are independent
Poisson fields; the counts that they share give the correlation between neighbours and a variance of sums that exceeds
their mean by ⟨m²⟩/⟨m⟩.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from twin.physics.lattice import Floats, Ints

_BLOBS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 0),),
    2: ((0, 0), (1, 0)),
    3: ((0, 0), (1, 0), (0, 1)),
    4: ((0, 0), (1, 0), (0, 1), (1, 1)),
    5: ((0, 0), (1, 0), (0, 1), (1, 1), (-1, 0)),
    6: ((0, 0), (1, 0), (0, 1), (1, 1), (-1, 0), (-1, 1)),
    7: ((0, 0), (1, 0), (0, 1), (1, 1), (-1, 0), (-1, 1), (0, -1)),
    8: ((0, 0), (1, 0), (0, 1), (1, 1), (-1, 0), (-1, 1), (0, -1), (1, -1)),
    9: ((0, 0), (1, 0), (0, 1), (1, 1), (-1, 0), (-1, 1), (0, -1), (1, -1), (-1, -1)),
}
_QUARTER = tuple(np.array(m) for m in (((1, 0), (0, 1)), ((0, -1), (1, 0)), ((-1, 0), (0, -1)), ((0, 1), (-1, 0))))
_SPREAD = ((-1, 0.25), (0, 0.5), (1, 0.25))  # relative probability of sizes around the mean


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pattern:
    """Pixels (m, 2) fast and slow offsets that fire together, and the probability that a hit makes this pattern."""

    offsets: Ints
    probability: float


def cluster_patterns(counts_per_electron: float) -> tuple[Pattern, ...]:
    """Patterns in four orientations; their sizes have the mean ``counts_per_electron`` (1 to 8).

    Below 1 the electron fires one pixel with that probability (the rest of the probability is no hit at all).
    """
    if counts_per_electron <= 1.0:
        return (Pattern(offsets=np.zeros((1, 2), dtype=np.int64), probability=counts_per_electron),)
    return tuple(
        Pattern(offsets=np.array(_BLOBS[size], dtype=np.int64) @ turn, probability=probability / len(_turns(size)))
        for size, probability in sorted(_sizes(min(counts_per_electron, 8.0)).items())
        for turn in _turns(size)
    )


def cluster_variance_px2(patterns: tuple[Pattern, ...]) -> float:
    """Mean square displacement of counts from the impact along one axis: what clusters add to the PSF."""
    squares = sum(p.probability * float(np.sum(p.offsets.astype(np.float64) ** 2)) for p in patterns)
    return 0.5 * squares / mean_size(patterns)


def mean_size(patterns: tuple[Pattern, ...]) -> float:
    """Mean number of counts of an electron."""
    return sum(p.probability * len(p.offsets) for p in patterns)


def excess_variance(patterns: tuple[Pattern, ...]) -> float:
    """⟨m²⟩ / ⟨m⟩: variance of a sum of counts over an area much larger than a cluster, over its mean."""
    return sum(p.probability * len(p.offsets) ** 2 for p in patterns) / mean_size(patterns)


def draw_hits(*, electrons: Floats, patterns: tuple[Pattern, ...], generator: np.random.Generator) -> Ints:
    """Counts (slow, fast) for the expected number of detected electrons per pixel."""
    slow, fast = electrons.shape
    padded = np.zeros((slow + 2, fast + 2), dtype=np.int64)
    for pattern in patterns:
        drawn = generator.poisson(electrons * pattern.probability)
        for dx, dy in pattern.offsets:
            padded[1 + dy : 1 + dy + slow, 1 + dx : 1 + dx + fast] += drawn
    return np.ascontiguousarray(padded[1:-1, 1:-1])


def _turns(size: int) -> tuple[Ints, ...]:
    return _QUARTER[:1] if size in (1, 9) else _QUARTER


def _sizes(mean: float) -> dict[int, float]:
    """Probabilities of cluster sizes around ``mean``, which they reproduce exactly."""
    low = math.floor(mean)
    out: dict[int, float] = {}
    for base, share in ((low, 1.0 - (mean - low)), (low + 1, mean - low)):
        spread = _SPREAD if 2 <= base <= 8 else ((0, 1.0),)
        for shift, probability in spread:
            out[base + shift] = out.get(base + shift, 0.0) + share * probability
    return {size: probability for size, probability in out.items() if probability > 0.0}
