"""How far sums of counts at shifted lattice points stand above noise, in the weights of their expected signal."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.superlattice.counts import FILTER_PX
from pipeline.reduction.superlattice.places import Places

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """Of each offset (m,): signal over noise, the same without its best reflection, mean signal in units of that of the
    lattice's own spots with its uncertainty, reflections that went in."""

    z: Floats
    without_best: Floats
    amplitude: Floats
    uncertainty: Floats
    reflections: Ints


def fall_off(places: Places, share: Floats, bins: int = 8) -> Floats:
    """Mean signal of the lattice's own spots (offset 0) against |g|, at every place, never below 3 % of its largest.
    share: (n,) part of the rocking curve that each place holds."""
    own = (places.offset == 0) & np.isfinite(places.value)
    edges = np.quantile(places.g[own], np.linspace(0, 1, bins + 1))
    at = np.clip(np.searchsorted(edges, places.g[own]) - 1, 0, bins - 1)
    top = np.bincount(at, weights=(places.value * share)[own], minlength=bins)
    below = np.bincount(at, weights=share[own] ** 2, minlength=bins)
    mean = top / np.maximum(below, 1e-12)
    mean = np.maximum(mean, 0.03 * mean.max())
    return np.asarray(np.exp(np.interp(places.g, 0.5 * (edges[1:] + edges[:-1]), np.log(np.maximum(mean, 1e-12)))))


def score(*, places: Places, use: Bools, expected: Floats, group: Ints, groups: int, gain: float) -> Scores:
    """Signal of each group of offsets in the weights of what is ``expected`` at each place were it as strong as the
    lattice's own. ``group``: (offsets,) number of the group of each, −1 for none.

    The variance is that of the background alone: the question is whether anything is there.
    """
    of = group[places.offset]
    use = use & np.isfinite(places.value) & (of >= 0)
    noise2 = gain * np.pi * FILTER_PX**2 * places.level[use]
    node = places.offset[use] * (int(places.point.max()) + 1) + places.point[use]
    t = np.bincount(of[use], weights=expected[use] * places.value[use] / noise2, minlength=groups)
    b = np.maximum(np.bincount(of[use], weights=expected[use] ** 2 / noise2, minlength=groups), 1e-12)
    nodes, at = np.unique(node, return_inverse=True)
    t_node = np.bincount(at, weights=expected[use] * places.value[use] / noise2)
    b_node = np.bincount(at, weights=expected[use] ** 2 / noise2)
    group_node = group[nodes // (int(places.point.max()) + 1)]
    order = np.argsort(t_node, kind="stable")
    best = np.full(groups, -1, dtype=np.int64)
    best[group_node[order]] = order
    some = best >= 0
    t_rest, b_rest = t.copy(), b.copy()
    t_rest[some] -= t_node[best[some]]
    b_rest[some] -= b_node[best[some]]
    return Scores(
        z=t / np.sqrt(b),
        without_best=t_rest / np.sqrt(np.maximum(b_rest, 1e-12)),
        amplitude=t / b,
        uncertainty=1.0 / np.sqrt(b),
        reflections=np.bincount(group_node, minlength=groups),
    )


def above_random(places: Places, use: Bools, first_random: int, bins: int = 24) -> Places:
    """The places with the mean of random ones at the same |g| taken from their counts: a ring is not the level under a
    spot where the background is curved."""
    random = use & (places.offset >= first_random) & np.isfinite(places.value)
    if np.count_nonzero(random) < 20 * bins:
        return places
    edges = np.quantile(places.g[random], np.linspace(0, 1, bins + 1))
    at = np.clip(np.searchsorted(edges, places.g[random]) - 1, 0, bins - 1)
    number = np.bincount(at, minlength=bins)
    mean = np.bincount(at, weights=places.value[random], minlength=bins) / np.maximum(number, 1)
    middle = 0.5 * (edges[1:] + edges[:-1])
    return replace(places, value=places.value - np.interp(places.g, middle, mean))
