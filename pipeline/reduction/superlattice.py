"""Is there intensity between the points of a lattice? Integration at rational positions of its reciprocal cell.

The strong spots of many crystals form a lattice finer in direct space than the true one (bixbyite's are those of
fluorite, one sixteenth of the volume), and in weak data only those are found as spots. Here the counts at h + p/n (n up
to 6, all h) are summed in the weights of their expected signal. Random positions of the same cell say how such sums
scatter without a lattice; a position far above them belongs to the reciprocal lattice. Positions are added one by one,
each with all that it generates, so that nothing that one of them explains counts for another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from math import gcd

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import erf

from pipeline.reduction.geometry import Geometry, to_pixels
from pipeline.reduction.indexing import lattice_points
from pipeline.reduction.predict import Sweep, excitation
from pipeline.reduction.series import px_per_inverse_angstrom
from pipeline.types import Peaks
from twin.model.dataset import Dataset

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LARGEST_DENOMINATOR = 6
DENOMINATOR = 60  # common to all positions
RANDOM_POSITIONS = 72
LARGEST_SCATTER = 1.4  # of sums at random positions, in units of noise: more, and tails of strong spots lie everywhere
LIMIT_Z = 6.0  # above random positions, in their spread; 201 positions are tried
WITHOUT_BEST_Z = 4.0  # the same without the reflection that speaks most for it
LEAST_REFLECTIONS = 8
FILTER_PX = 1.2
RING_PX = 8.5  # outer radius of the ring whose level counts as background
LEAST_AMPLITUDE = 0.012  # of the lattice's own intensity: tails of strong spots reach that close to them
CORE_PX = 3.0  # radius of the filter
SPOT_WIDTH_PX = 1.2  # of a Gaussian that falls off no faster than spots do
TAIL_PER_ANGSTROM = 0.03  # beyond the sweep, to which a strong spot may still be seen
FRAME_APART_PX = 1e4
WIDTHS = (0.0015, 0.003, 0.006)  # Å⁻¹, standard deviation of a rocking curve; the best for the lattice's spots is used
MOST_PLACES = 400_000
FRAMES_FOR_WIDTH = 60  # that decide about the width of the curve


def rational_positions(largest: int = LARGEST_DENOMINATOR) -> Floats:
    """p/n in [0, 1)³ for n = 2 to ``largest``, one of each pair ±, 000 left out; (m, 3), small denominators first."""
    seen: dict[tuple[tuple[int, int], ...], tuple[float, ...]] = {}
    for n in range(2, largest + 1):
        for p in product(range(n), repeat=3):
            here, there = _key(p, n), _key(tuple(-v % n for v in p), n)
            if any(p) and here not in seen and there not in seen:
                seen[here] = tuple(v / n for v in p)
    return np.array(list(seen.values()))


def _key(p: tuple[int, ...], n: int) -> tuple[tuple[int, int], ...]:
    return tuple((v // gcd(v, n), n // gcd(v, n)) for v in p)


@njit(cache=True)
def _filtered(image, bad, spots, xs, ys, sigma):  # type: ignore[no-untyped-def]
    """Counts under a Gaussian filter above the ring around it (without what ``spots`` marks), and the level of the
    ring, per position; NaN where the filter holds a bad pixel, too little of the ring is left, or the detector ends."""
    rows, columns = image.shape
    value = np.full(xs.shape[0], np.nan)
    level = np.full(xs.shape[0], np.nan)
    core, inner, outer = CORE_PX, 4.5, RING_PX
    reach = 9
    for n in range(xs.shape[0]):
        x0, y0 = int(np.rint(xs[n])), int(np.rint(ys[n]))
        if x0 < reach or y0 < reach or x0 >= columns - reach or y0 >= rows - reach:
            continue
        totals = np.zeros(8)
        numbers = np.zeros(8)
        top = 0.0
        weights = 0.0
        good = True
        for p in range(y0 - reach, y0 + reach + 1):
            for q in range(x0 - reach, x0 + reach + 1):
                dy, dx = p - ys[n], q - xs[n]
                d2 = dx * dx + dy * dy
                if d2 <= core * core:
                    if bad[p, q]:
                        good = False
                        continue
                    w = np.exp(-0.5 * d2 / (sigma * sigma))
                    top += w * image[p, q]
                    weights += w
                elif inner * inner < d2 < outer * outer and not bad[p, q] and not spots[p, q]:
                    k = int((np.arctan2(dy, dx) + np.pi) * (4.0 / np.pi)) % 8
                    totals[k] += image[p, q]
                    numbers[k] += 1.0
        known = numbers > 4.0
        if not good or np.sum(known) < 4:
            continue
        here = np.median(totals[known] / numbers[known])
        value[n] = top - here * weights
        level[n] = max(here, 0.02)
    return value, level


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Places:
    """Where offset + lattice point meets an exposure: numbers of both and of the frame, position, |g|, share of the
    curve, and filtered counts and their level (NaN where the filter does not fit); all (n, ...)."""

    offset: Ints
    point: Ints
    frame: Ints
    xy_px: Floats
    g: Floats
    share: Floats
    value: Floats
    level: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """Of each offset (m,): signal over noise, the same without its best reflection, mean signal in units of that of the
    lattice's own spots with its uncertainty, reflections that went in."""

    z: Floats
    without_best: Floats
    amplitude: Floats
    uncertainty: Floats
    reflections: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Superlattice:
    """``ub`` of the finer reciprocal lattice and its ``index`` (1: nothing found, ub as it was); the intensity relative
    to the lattice's own that would have been seen (``faintest``); a sentence."""

    ub: Floats
    index: int
    faintest: float
    sentence: str


def _near_sweeps(
    geometry: Geometry, sweep: Sweep, points: Ints, offsets: Floats, width: float
) -> tuple[Ints, Ints, Floats, Floats, Floats]:
    """Rows (offset · points + point), frame, laboratory g, s, half of the sweep of all within ``width`` of a sweep."""
    at_zero = (points[None, :, :] + offsets[:, None, :]).reshape(-1, 3) @ geometry.ub.T
    length = np.linalg.norm(at_zero, axis=1)  # offsets lead beyond the points: leave out what lies further than they
    near = np.flatnonzero(length <= float(np.linalg.norm(points @ geometry.ub.T, axis=1).max()))
    at_zero, length = at_zero[near], length[near]
    curvature = length**2 / (2 * sweep.wavenumber)
    reach = np.radians(sweep.half_angle_deg) * length + width + 1e-3
    parts = []
    for f, rotation in enumerate(geometry.rotation):
        rows = np.flatnonzero(np.abs(at_zero @ rotation[2] + curvature) < reach)
        g = at_zero[rows] @ rotation.T
        s, half = excitation(g_lab=g, sweep=sweep)
        met = np.abs(s) < half + width
        parts.append((near[rows[met]], np.full(np.count_nonzero(met), f), g[met], s[met], half[met]))
    row, frame, g, s, half = (np.concatenate(c) for c in zip(*parts, strict=True))
    return row, frame, g, s, half


def _curve_share(s: Floats, half: Floats, width: float) -> Floats:
    """Signal expected in an exposure, up to a factor: part of a Gaussian curve that it sweeps, over its sweep."""
    part = 0.5 * (erf((s + half) / (np.sqrt(2.0) * width)) - erf((s - half) / (np.sqrt(2.0) * width)))
    return np.asarray(part / np.maximum(half, 0.5 * width) * width)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spots:
    """The lattice's own spots (n,), also where only the tail of a rocking curve is met: position in px and frame, and
    the radius beyond which even the strong ones are lost in the background."""

    xy_px: Floats
    frame: Ints
    radius_px: float

    def mark(self, frame: int, shape: tuple[int, ...]) -> Bools:
        """Pixels within ``radius_px`` of a spot."""
        marked = np.zeros(shape, dtype=bool)
        xy = np.rint(self.xy_px[self.frame == frame]).astype(np.int64)
        reach = np.arange(-int(self.radius_px), int(self.radius_px) + 1)
        dy, dx = np.meshgrid(reach, reach, indexing="ij")
        disc = dx**2 + dy**2 <= self.radius_px**2
        y, x = xy[:, 1:] + dy[disc], xy[:, :1] + dx[disc]
        on = (x >= 0) & (y >= 0) & (x < shape[1]) & (y < shape[0])
        marked[y[on], x[on]] = True
        return marked


def sample(
    *,
    dataset: Dataset,
    geometry: Geometry,
    sweep: Sweep,
    points: Ints,
    offsets: Floats,
    width: float,
    spots: Spots,
    every: int = 1,
) -> Places:
    """Counts at all h + offset (h in ``points``) that an exposure meets; NaN but on every ``every``-th frame."""
    row, frame, g, s, half = _near_sweeps(geometry, sweep, points, offsets, 2.0 * width)
    xy = to_pixels(geometry, g[:, :2], frame)
    value, level = np.full(len(row), np.nan), np.full(len(row), np.nan)
    edges = np.searchsorted(frame, np.arange(len(dataset.counts) + 1))
    for f in range(0, len(dataset.counts), every):
        own = slice(int(edges[f]), int(edges[f + 1]))
        bad = dataset.bad_pixels | (dataset.counts[f] >= dataset.microscope.detector.counter_max)
        x, y = xy[own, 0].copy(), xy[own, 1].copy()
        value[own], level[own] = _filtered(dataset.counts[f], bad, spots.mark(f, bad.shape), x, y, FILTER_PX)
    return Places(
        offset=row // len(points),
        point=row % len(points),
        frame=frame,
        xy_px=xy,
        g=np.linalg.norm(g, axis=1),
        share=_curve_share(s, half, width),
        value=value,
        level=level,
    )


def _clear_of(places: Places, spots: Spots) -> Bools:
    """Which places have a filter that no spot on their frame reaches."""
    here = np.column_stack([places.xy_px, FRAME_APART_PX * places.frame])
    there = np.column_stack([spots.xy_px, FRAME_APART_PX * spots.frame])
    distance, _ = cKDTree(there).query(here, distance_upper_bound=spots.radius_px + CORE_PX)
    return np.asarray(~np.isfinite(distance))


def _own_spots(geometry: Geometry, sweep: Sweep, g_max: float, px_per_angstrom: float, radius_px: float) -> Spots:
    beyond = g_max + 2.0 * (radius_px + CORE_PX) / px_per_angstrom
    points = lattice_points(ub=geometry.ub, centring="P", g_max_per_angstrom=beyond)
    _, frame, g, _, _ = _near_sweeps(geometry, sweep, points, np.zeros((1, 3)), TAIL_PER_ANGSTROM)
    xy = to_pixels(geometry, g[:, :2], frame)
    return Spots(xy_px=xy, frame=frame, radius_px=radius_px)


def _radius(peaks: Peaks, level: float) -> float:
    """Where a Gaussian of the strong spots' intensity sinks below a tenth of the noise of a pixel."""
    strong = float(np.quantile(peaks.intensity, 0.98)) / (2.0 * np.pi * SPOT_WIDTH_PX**2)
    return SPOT_WIDTH_PX * float(np.sqrt(2.0 * np.log(max(strong / (0.1 * np.sqrt(level)), 1.0))))


def fall_off(places: Places, bins: int = 8) -> Floats:
    """Mean signal of the lattice's own spots (offset 0) against |g|, at every place; never below 3 % of its largest."""
    own = (places.offset == 0) & np.isfinite(places.value)
    edges = np.quantile(places.g[own], np.linspace(0, 1, bins + 1))
    at = np.clip(np.searchsorted(edges, places.g[own]) - 1, 0, bins - 1)
    top = np.bincount(at, weights=(places.value * places.share)[own], minlength=bins)
    below = np.bincount(at, weights=places.share[own] ** 2, minlength=bins)
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


def classes(offsets: Floats, basis: Ints) -> tuple[Ints, Ints]:
    """Number of the class of each offset modulo the lattice ``basis`` / DENOMINATOR (± are one), 0 for the lattice
    itself; and the sizes of the classes."""
    scale = abs(round(float(np.linalg.det(basis))))
    inverse = np.rint(np.linalg.inv(basis) * scale).astype(np.int64)
    whole = np.rint(offsets * DENOMINATOR).astype(np.int64)
    here, there = (whole @ inverse) % scale, (-whole @ inverse) % scale
    swap = [tuple(b) < tuple(a) for a, b in zip(here.tolist(), there.tolist(), strict=True)]
    key = np.where(np.array(swap)[:, None], there, here)
    _, first, number = np.unique(key, axis=0, return_index=True, return_inverse=True)
    number = np.asarray(number).reshape(-1)
    if number[0] != 0:
        raise AssertionError("the first offset is 000, whose key is the smallest")
    return number, np.bincount(number, minlength=len(first))


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


def generated(basis: Ints, denominator: int) -> Ints:
    """Rows of a basis (3, 3) of the lattice that the integer rows ``basis`` (m, 3) and denominator · Z³ generate."""
    rows = [r.copy() for r in np.concatenate([np.asarray(basis, dtype=np.int64), denominator * np.eye(3, dtype=int)])]
    out = []
    for column in range(3):
        while True:
            live = [r for r in rows if r[column] != 0]
            if len(live) <= 1:
                break
            small = min(live, key=lambda r: abs(int(r[column])))
            rows = [r if r is small else r - small * (r[column] // small[column]) for r in rows]
        pivot = live[0]
        rows = [r for r in rows if r is not pivot]
        out.append(pivot)
    return np.array(out)


def _choose_places(
    dataset: Dataset, geometry: Geometry, sweep: Sweep, offsets: Floats, g_max: float, gain: float, spots: Spots
) -> Places:
    """Places of all offsets with the width of the curve that serves the lattice's own spots best."""
    limit = g_max
    for _ in range(4):
        points = lattice_points(ub=geometry.ub, centring="P", g_max_per_angstrom=limit)
        tried = []
        for width in WIDTHS:
            p = sample(
                dataset=dataset,
                geometry=geometry,
                sweep=sweep,
                points=points,
                offsets=np.zeros((1, 3)),
                width=width,
                spots=spots,
                every=max(len(dataset.counts) // FRAMES_FOR_WIDTH, 1),
            )
            whole, alone = np.ones(len(p.offset), dtype=bool), np.zeros(1, dtype=np.int64)
            one = score(places=p, use=whole, expected=p.share, group=alone, groups=1, gain=gain)
            tried.append((float(one.z[0]), width, p))
        _, width, own = max(tried, key=lambda t: t[0])
        rows = len(own.offset) * len(offsets)
        if rows <= MOST_PLACES:
            break
        limit *= max((MOST_PLACES / rows) ** (1.0 / 3.0), 0.5)
    return sample(
        dataset=dataset, geometry=geometry, sweep=sweep, points=points, offsets=offsets, width=width, spots=spots
    )


def find_superlattice(
    *,
    dataset: Dataset,
    geometry: Geometry,
    sweep: Sweep,
    gain: float,
    g_max_per_angstrom: float,
    beam_radius_px: float,
    peaks: Peaks,
) -> Superlattice:
    """The coarsest reciprocal refinement of ``geometry.ub`` that holds all positions with significant intensity."""
    rational = np.concatenate([np.zeros((1, 3)), rational_positions()])
    rng = np.random.default_rng(20250)  # random positions, the same for all data
    offsets = np.concatenate([rational, rng.uniform(size=(RANDOM_POSITIONS, 3))])
    radius = _radius(peaks, max(gain * float(np.median(dataset.counts[len(dataset.counts) // 2])), gain))
    spots = _own_spots(geometry, sweep, g_max_per_angstrom, px_per_inverse_angstrom(dataset), radius)
    places = _choose_places(dataset, geometry, sweep, offsets, g_max_per_angstrom, gain, spots)
    expected = places.share * fall_off(places)
    from_beam = np.linalg.norm(places.xy_px - geometry.centre_px[places.frame], axis=1)
    outside = from_beam > beam_radius_px + RING_PX
    clear = _clear_of(places, spots)
    use = outside & clear
    first = np.where(np.arange(len(offsets)) == 0, 0, -1)
    places = above_random(places, use, len(rational))
    whole = score(places=places, use=outside, expected=expected, group=first, groups=1, gain=gain)
    found: list[tuple[float, ...]] = []
    basis = DENOMINATOR * np.eye(3, dtype=np.int64)
    while True:
        group, size = classes(rational, basis)
        number = len(size)
        every = np.concatenate([group, number + np.arange(RANDOM_POSITIONS)])
        new = (every[places.offset] == 0) & (places.offset > 0)
        if np.any(new):
            use = outside & clear & _clear_of(places, replace(spots, xy_px=places.xy_px[new], frame=places.frame[new]))
        s = score(places=places, use=use, expected=expected, group=every, groups=number + RANDOM_POSITIONS, gain=gain)
        random = s.z[number:]
        centre = float(np.median(random))
        spread = max(1.4826 * float(np.median(np.abs(random - centre))), 1.0)
        if spread > LARGEST_SCATTER:
            return _not_empty(geometry, found, basis, spread)
        z = (s.z[:number] - centre * np.sqrt(size)) / spread
        rest = (s.without_best[:number] - centre * np.sqrt(size)) / spread
        able = s.reflections[:number] >= LEAST_REFLECTIONS
        able[0] = False
        if not np.any(able):
            return _nothing_left(geometry, found, basis, radius + CORE_PX)
        best = float(np.max(z[able]))
        faintest = float(np.median(s.uncertainty[:number][able])) * LIMIT_Z * spread / max(whole.amplitude[0], 1e-12)
        strong = s.amplitude[:number] > LEAST_AMPLITUDE * whole.amplitude[0]
        sure = able & strong & (z > LIMIT_Z) & (rest > WITHOUT_BEST_Z)
        if not np.any(sure):
            break
        chosen = int(np.flatnonzero(sure)[np.argmax(z[sure])])
        found.append(tuple(rational[int(np.argmax(group == chosen))]))
        basis = generated(np.rint(np.array(found) * DENOMINATOR).astype(np.int64), DENOMINATOR)
    index = _index(basis)
    return Superlattice(
        ub=_finer(geometry.ub, basis),
        index=index,
        faintest=faintest,
        sentence=_sentence(found, index, best, faintest, len(rational) - 1),
    )


def _index(basis: Ints) -> int:
    return round(DENOMINATOR**3 / abs(float(np.linalg.det(basis))))


def _finer(ub: Floats, basis: Ints) -> Floats:
    return np.asarray(ub @ (basis / DENOMINATOR).T)


def _not_empty(geometry: Geometry, found: list[tuple[float, ...]], basis: Ints, scatter: float) -> Superlattice:
    before = f"volume times {_index(basis)}; further positions" if found else "between the spots"
    return Superlattice(
        ub=_finer(geometry.ub, basis),
        index=_index(basis),
        faintest=float("nan"),
        sentence=f"superlattice: {before} not tested by integration, random positions scatter {scatter:.1f} times "
        f"as much as noise does (tails of strong spots); only what is found as spots counts",
    )


def _nothing_left(geometry: Geometry, found: list[tuple[float, ...]], basis: Ints, clear_px: float) -> Superlattice:
    return Superlattice(
        ub=_finer(geometry.ub, basis),
        index=_index(basis),
        faintest=float("nan"),
        sentence=f"superlattice: volume times {_index(basis)}; further positions lie too close to spots to be tested"
        if found
        else f"superlattice: not tested; spots closer than {2 * clear_px:.0f} px leave no room to look between them",
    )


def _sentence(found: list[tuple[float, ...]], index: int, best: float, faintest: float, tried: int) -> str:
    if not found:
        return (
            f"superlattice: none; of {tried} rational positions between the spots the best is {best:.1f} sigma above "
            f"random ones ({LIMIT_Z:g} are asked for); one with {100 * faintest:.1g} % of the lattice's mean intensity "
            f"would have been seen"
        )
    names = ", ".join("(" + " ".join(str(Fraction(v).limit_denominator(12)) for v in p) + ")" for p in found)
    return (
        f"superlattice: intensity at {names} of the first reciprocal cell; the volume is {index} times as large as "
        f"spots alone show; the next best position is {best:.1f} sigma above random ones"
    )
