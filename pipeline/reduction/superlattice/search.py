"""Is there intensity between the points of a lattice? Integration at rational positions of its reciprocal cell.

The strong spots of many crystals form a lattice finer in direct space than the true one (bixbyite's are those of
fluorite, one sixteenth of the volume), and in weak data only those are found as spots. Here the counts at h + p/n (n up
to 6, all h) are summed in the weights of their expected signal. Random positions of the same cell say how such sums
scatter without a lattice; a position far above them belongs to the reciprocal lattice, if it stands out as well where
no spot lies however long its tail: the tails of one strong row of spots pass by the same fraction of a cell again and
again, which random positions do not show. Positions are added one by one, each with all that it generates, so that
nothing that one of them explains counts for another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.geometry import Geometry
from pipeline.reduction.indexing import lattice_points
from pipeline.reduction.predict import Sweep
from pipeline.reduction.series import px_per_inverse_angstrom
from pipeline.reduction.superlattice.counts import CORE_PX
from pipeline.reduction.superlattice.places import (
    LONGEST_TAIL_PER_ANGSTROM,
    TAIL_PER_ANGSTROM,
    Places,
    Spots,
    own_spots,
    sample,
    spot_radius,
)
from pipeline.reduction.superlattice.positions import DENOMINATOR, classes, generated, index_of, rational_positions
from pipeline.reduction.superlattice.scores import Scores, above_random, fall_off, score
from pipeline.types import Peaks
from twin.model.dataset import Dataset

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

RANDOM_POSITIONS = 72
LARGEST_SCATTER = 1.4  # of sums at random positions, in units of noise: more, and tails of strong spots lie everywhere
LIMIT_Z = 6.0  # above random positions, in their spread; 201 positions are tried
WITHOUT_BEST_Z = 4.0  # the same without the reflection that speaks most for it
LEAST_REFLECTIONS = 8
LEAST_AMPLITUDE = 0.012  # of the lattice's own intensity: tails of strong spots reach that close to them
WIDTHS = (0.0015, 0.003, 0.006)  # Å⁻¹, standard deviation of a rocking curve; the best for the lattice's spots is used
MOST_PLACES = 400_000
FRAMES_FOR_WIDTH = 60  # that decide about the width of the curve


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Superlattice:
    """``ub`` of the finer reciprocal lattice and its ``index`` (1: nothing found, ub as it was); the intensity relative
    to the lattice's own that would have been seen (``faintest``); a sentence."""

    ub: Floats
    index: int
    faintest: float
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sampler:
    """What stays the same from one sampling of the frames to the next."""

    dataset: Dataset
    geometry: Geometry
    sweep: Sweep
    spots: Spots
    tails: Spots
    beam_radius_px: float
    gain: float

    def places(self, points: Ints, offsets: Floats, width: float, every: int = 1) -> Places:
        return sample(
            dataset=self.dataset,
            geometry=self.geometry,
            sweep=self.sweep,
            points=points,
            offsets=offsets,
            width=width,
            spots=self.spots,
            tails=self.tails,
            beam_radius_px=self.beam_radius_px,
            every=every,
        )


def _choose_places(sampler: _Sampler, offsets: Floats, g_max: float) -> tuple[Places, float]:
    """Places of all offsets, and the width of the curve that serves the lattice's own spots best; up to a lower |g|
    where they would be too many."""
    points = lattice_points(ub=sampler.geometry.ub, centring="P", g_max_per_angstrom=g_max)
    length = np.linalg.norm(points @ sampler.geometry.ub.T, axis=1)
    every = max(len(sampler.dataset.counts) // FRAMES_FOR_WIDTH, 1)
    own = sampler.places(points, np.zeros((1, 3)), max(WIDTHS), every)
    alone, shares = np.zeros(1, dtype=np.int64), [own.share(width) for width in WIDTHS]
    limit, best = g_max, 0
    for _ in range(4):
        use = own.g <= limit
        z = [score(places=own, use=use, expected=s, group=alone, groups=1, gain=sampler.gain).z[0] for s in shares]
        best = int(np.argmax(z))
        rows = np.count_nonzero(use & (shares[best] > 0)) * every * len(offsets)
        if rows <= MOST_PLACES:
            break
        limit *= max((MOST_PLACES / rows) ** (1.0 / 3.0), 0.5)
    return sampler.places(points[length <= limit], offsets, WIDTHS[best]), WIDTHS[best]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Judgement:
    """Of each class of positions (m,): standard deviations above random ones, the same without the best reflection,
    whether there is enough to judge by; how random positions scatter, in units of noise; the scores."""

    z: Floats
    rest: Floats
    able: Bools
    spread: float
    scores: Scores


def _judged(places: Places, use: Bools, expected: Floats, group: Ints, size: Ints, gain: float) -> _Judgement:
    number = len(size)
    every = np.concatenate([group, number + np.arange(RANDOM_POSITIONS)])
    s = score(places=places, use=use, expected=expected, group=every, groups=number + RANDOM_POSITIONS, gain=gain)
    random = s.z[number:]
    centre = float(np.median(random))
    spread = max(1.4826 * float(np.median(np.abs(random - centre))), 1.0)
    able = s.reflections[:number] >= LEAST_REFLECTIONS
    able[0] = False
    return _Judgement(
        z=(s.z[:number] - centre * np.sqrt(size)) / spread,
        rest=(s.without_best[:number] - centre * np.sqrt(size)) / spread,
        able=able,
        spread=spread,
        scores=s,
    )


def _clear_signal(j: _Judgement) -> Bools:
    return np.asarray((j.z > LIMIT_Z) & (j.rest > WITHOUT_BEST_Z))


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
    radius = spot_radius(peaks, max(gain * float(np.median(dataset.counts[len(dataset.counts) // 2])), gain))
    spots, tails = (
        own_spots(geometry, sweep, g_max_per_angstrom, px_per_inverse_angstrom(dataset), radius, tail)
        for tail in (TAIL_PER_ANGSTROM, LONGEST_TAIL_PER_ANGSTROM)
    )
    sampler = _Sampler(
        dataset=dataset, geometry=geometry, sweep=sweep, spots=spots, tails=tails, beam_radius_px=beam_radius_px,
        gain=gain,
    )  # fmt: skip
    places, width = _choose_places(sampler, offsets, g_max_per_angstrom)
    share = places.share(width)
    expected = share * fall_off(places, share)
    places = above_random(places, places.outside & places.clear, len(rational))
    first = np.where(np.arange(len(offsets)) == 0, 0, -1)
    whole = score(places=places, use=places.outside, expected=expected, group=first, groups=1, gain=gain)
    return _add_positions(sampler, places, expected, rational, float(whole.amplitude[0]))


def _add_positions(
    sampler: _Sampler, places: Places, expected: Floats, rational: Floats, own_amplitude: float
) -> Superlattice:
    """One position after the other, the clearest first, until none is left that stands out.

    ``own_amplitude``: mean signal of the lattice's own spots.
    """
    geometry, spots = sampler.geometry, sampler.spots
    found: list[tuple[float, ...]] = []
    basis = DENOMINATOR * np.eye(3, dtype=np.int64)
    use = places.outside & places.clear
    while True:
        group, size = classes(rational, basis)
        new = (np.concatenate([group, np.ones(RANDOM_POSITIONS, int)])[places.offset] == 0) & (places.offset > 0)
        if np.any(new):
            more = replace(spots, xy_px=places.xy_px[new], frame=places.frame[new])
            use = places.outside & places.clear & more.clear(places.xy_px, places.frame, len(geometry.alpha_deg))
        j = _judged(places, use, expected, group, size, sampler.gain)
        if j.spread > LARGEST_SCATTER:
            return _not_empty(geometry, found, basis, j.spread)
        if not np.any(j.able):
            return _nothing_left(geometry, found, basis, spots.radius_px + CORE_PX)
        best = float(np.max(j.z[j.able]))
        uncertainty = float(np.median(j.scores.uncertainty[: len(size)][j.able]))
        faintest = uncertainty * LIMIT_Z * j.spread / max(own_amplitude, 1e-12)
        strong = j.scores.amplitude[: len(size)] > LEAST_AMPLITUDE * own_amplitude
        k = _judged(places, use & places.far, expected, group, size, sampler.gain)
        sure = j.able & strong & _clear_signal(j) & _clear_signal(k)
        if not np.any(sure):
            break
        chosen = int(np.flatnonzero(sure)[np.argmax(j.z[sure])])
        found.append(tuple(rational[int(np.argmax(group == chosen))]))
        basis = generated(np.rint(np.array(found) * DENOMINATOR).astype(np.int64), DENOMINATOR)
    index = index_of(basis)
    return Superlattice(
        ub=_finer(geometry.ub, basis),
        index=index,
        faintest=faintest,
        sentence=_sentence(found, index, best, faintest, len(rational) - 1),
    )


def _finer(ub: Floats, basis: Ints) -> Floats:
    return np.asarray(ub @ (basis / DENOMINATOR).T)


def _not_empty(geometry: Geometry, found: list[tuple[float, ...]], basis: Ints, scatter: float) -> Superlattice:
    before = f"volume times {index_of(basis)}; further positions" if found else "between the spots"
    return Superlattice(
        ub=_finer(geometry.ub, basis),
        index=index_of(basis),
        faintest=float("nan"),
        sentence=f"superlattice: {before} not tested by integration, random positions scatter {scatter:.1f} times "
        f"as much as noise does (tails of strong spots); only what is found as spots counts",
    )


def _nothing_left(geometry: Geometry, found: list[tuple[float, ...]], basis: Ints, clear_px: float) -> Superlattice:
    return Superlattice(
        ub=_finer(geometry.ub, basis),
        index=index_of(basis),
        faintest=float("nan"),
        sentence=f"superlattice: volume times {index_of(basis)}; further positions lie too close to spots to be tested"
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
