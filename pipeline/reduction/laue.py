"""Laue class from intensities, among the subgroups of the lattice's symmetry.

R_int alone cannot tell: of weak data it is large in every class. It is compared with the value that the sigmas predict.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.reduction.observations import unique_hkl
from pipeline.reduction.statistics import r_int_of_groups
from twin.physics.symmetry import asymmetric_hkl

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SUBGROUPS: dict[str, tuple[str, ...]] = {
    "cubic": ("-P 4 2 3", "-P 2 2 3", "-P 4 2", "-P 4", "-P 2 2", "-P 2y", "-P 1"),
    "hexagonal": ("-P 6 2", "-P 6", '-P 3 2"', "-P 3 2", "-P 3", "-P 2", "-P 1"),
    "tetragonal": ("-P 4 2", "-P 4", "-P 2 2", "-P 2", "-P 2y", "-P 1"),
    "rhombohedral": ('-P 3 2"', "-P 3", "-P 1"),
    "orthorhombic": ("-P 2 2", "-P 2y", "-P 2", "-P 2x", "-P 1"),
    "monoclinic": ("-P 2y", "-P 1"),
    "triclinic": ("-P 1",),
}
_ORDER = {
    "-P 4 2 3": 48,
    "-P 2 2 3": 24,
    "-P 6 2": 24,
    "-P 4 2": 16,
    "-P 6": 12,
    '-P 3 2"': 12,
    "-P 3 2": 12,
    "-P 4": 8,
    "-P 2 2": 8,
    "-P 3": 6,
    "-P 2y": 4,
    "-P 2": 4,
    "-P 2x": 4,
    "-P 1": 2,
}


SLACK = 1.35  # equivalents measured on different frames differ more than Friedel mates that share one
FLOOR = 0.05  # relative error that multiple scattering may add to that
REJECT_Z = 3.0
HARMLESS = 0.2  # relative error of weak and strong alike that says nothing against a class
LARGEST_SPREAD = 1.35  # of equivalents, in units of sigma and HARMLESS, where Friedel mates do not spread as much
RISE_FROM_FRIEDEL = 1.5  # of that spread: mates share their frames, other equivalents do not
RISE = 1.3  # from the next smaller class
LEAST = 20  # reflections with an equivalent
DRAWS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One subgroup: R_int in percent and reflections in it; what the sigmas and the relative error of the best smaller
    class predict, with the scatter of that; what reflections that have nothing in common would give; mean deviation of
    equivalents in units of sigma and HARMLESS, 1 when there is nothing else, the scatter of that, and how large it may
    be."""

    hall: str
    r_int_percent: float
    number: int
    expected_percent: float
    scatter_percent: float
    unrelated_percent: float
    spread: float
    spread_scatter: float
    allowed_spread: float

    @property
    def possible(self) -> bool:
        """Whether neither R_int (ruled by strong reflections) nor the spread (all alike) speaks against it."""
        allowed = self.allowed_spread + REJECT_Z * self.spread_scatter
        fits = self.excess < REJECT_Z and self.spread < allowed
        return self.number >= LEAST and (fits or self.hall == "-P 1")

    @property
    def excess(self) -> float:
        """R_int above its expected value in standard deviations."""
        return (self.r_int_percent - self.expected_percent) / max(self.scatter_percent, 1e-9)

    @property
    def telling(self) -> bool:
        """Whether unrelated reflections would have been noticed."""
        return self.unrelated_percent > self.expected_percent + REJECT_Z * self.scatter_percent


@dataclass(frozen=True, slots=True, kw_only=True)
class LaueEvidence:
    """All candidates, highest order first, and the one chosen. ``decided``: its own R_int speaks for it."""

    hall: str
    candidates: tuple[Candidate, ...]
    decided: bool

    @property
    def table(self) -> tuple[tuple[str, float, int], ...]:
        """Hall symbol, R_int in percent, reflections."""
        return tuple((c.hall, c.r_int_percent, c.number) for c in self.candidates)

    def sentence(self) -> str:
        rows = ", ".join(
            f"{c.hall} {c.r_int_percent:.1f} % (expected {c.expected_percent:.1f} ± {c.scatter_percent:.1f}, "
            f"deviations {c.spread:.2f} of expected, n {c.number})"
            for c in self.candidates
            if c.number >= LEAST
        )
        doubt = "" if self.decided else "; not decided: noise or too few equivalents would hide a lower symmetry"
        return f"Laue class {self.hall} chosen by R_int against what noise predicts: {rows}{doubt}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Grouped:
    """Reflections by group of equivalents: group (n,), weighted mean of each one's group, intensity and sigma (n,)."""

    group: Ints
    mean: Floats
    intensity: Floats
    sigma: Floats


def _grouped(group: Ints, intensity: Floats, sigma: Floats) -> _Grouped:
    """Only reflections that have an equivalent."""
    several = np.bincount(group)[group] > 1
    _, group = np.unique(group[several], return_inverse=True)
    i, s = intensity[several], sigma[several]
    return _Grouped(group=group, mean=np.maximum(_group_mean(group, i, s), 0.0), intensity=i, sigma=s)


def _group_mean(group: Ints, intensity: Floats, sigma: Floats) -> Floats:
    """Weighted mean of its group for each reflection."""
    weight = sigma**-2.0
    below = np.maximum(np.bincount(group, weights=weight), 1e-30)
    return np.asarray((np.bincount(group, weights=weight * intensity) / below)[group])


@njit(cache=True)
def _r_of_draws(group, members, noise, intensity, cut):  # type: ignore[no-untyped-def]
    """R_int of each row of ``intensity`` (draws, n): members and noise of the mean of each group (groups,)."""
    values = np.empty(intensity.shape[0])
    mean = np.empty(members.shape[0])
    for d in range(intensity.shape[0]):
        mean[:] = 0.0
        for n in range(group.shape[0]):
            mean[group[n]] += intensity[d, n]
        mean /= members
        top, below = 0.0, 0.0
        for n in range(group.shape[0]):
            m = mean[group[n]]
            if m > cut * noise[group[n]]:
                top += abs(intensity[d, n] - m)
                below += intensity[d, n]
        values[d] = 100.0 * top / max(below, 1e-12)
    return values


def _r_of(group: Ints, intensity: Floats, sigma: Floats, cut: float) -> Floats:
    """R_int of each row of ``intensity`` (draws, n), as statistics.r_int has it."""
    number = np.bincount(group).astype(np.float64)
    noise = np.sqrt(np.bincount(group, weights=sigma**2)) / number
    return _r_of_draws(group, number, noise, intensity, cut)  # type: ignore[no-any-return]


def _expected(g: _Grouped, error: float, normal: Floats, cut: float) -> tuple[float, float]:
    """Mean and standard deviation of R_int when equivalents are equal but for sigma and a relative error."""
    sd = np.hypot(g.sigma, error * g.mean)
    values = _r_of(g.group, g.mean + sd * normal[:, : len(sd)], g.sigma, cut)
    return float(values.mean()), float(values.std())


def _spread(g: _Grouped, normal: Floats) -> tuple[float, float]:
    """Mean deviation in units of sigma and HARMLESS over its expected value, and the scatter of that."""

    def deviation(intensity: Floats) -> float:
        mean = _group_mean(g.group, intensity, g.sigma)
        return float(np.mean(np.abs(intensity - mean) / np.hypot(g.sigma, HARMLESS * np.maximum(mean, 0.0))))

    drawn = g.mean + np.hypot(g.sigma, HARMLESS * g.mean) * normal[:, : len(g.mean)]
    values = np.array([deviation(row) for row in drawn])
    return deviation(g.intensity) / float(values.mean()), float(values.std() / values.mean())


def _relative_error(g: _Grouped, observed_percent: float, normal: Floats, cut: float) -> float:
    """Relative error that makes the expected R_int the observed one; 0 when the sigmas alone are enough."""
    low, high = 0.0, 2.0
    for _ in range(12):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _expected(g, middle, normal[:6], cut)[0] < observed_percent else (low, middle)
    return low


def laue_evidence(*, hkl: Ints, intensity: Floats, sigma: Floats, system: str, cut: float = 3.0) -> LaueEvidence:
    """Highest class whose R_int is not significantly above what noise predicts.

    A wrong class averages reflections that have nothing in common, which raises R_int; so do noise and multiple
    scattering, in all classes alike. Noise is drawn with the sigmas, the rest as a relative error: that of the smaller
    class that shows the least, times SLACK, plus FLOOR. A class falls only when its R_int lies REJECT_Z standard
    deviations above, or when equivalents, weak ones too, deviate more than sigma and a harmless relative error allow.
    """
    rng = np.random.default_rng(11)
    normal = rng.standard_normal((DRAWS, len(intensity)))
    found: list[Candidate] = []
    errors: dict[str, float] = {}
    for hall in reversed(_SUBGROUPS[system]):
        _, group = unique_hkl(asymmetric_hkl(hkl, hall, friedel=True))
        value, number = r_int_of_groups(group=group, intensity=intensity, sigma=sigma, cut=cut)
        if number < LEAST:
            found.append(_too_few(hall, value, number))
            continue
        g = _grouped(group, intensity, sigma)
        smaller = [e for h, e in errors.items() if _ORDER[h] < _ORDER[hall]]
        errors[hall] = _relative_error(g, value, normal, cut)
        error = SLACK * min(smaller, default=errors[hall]) + FLOOR
        expected, scatter = _expected(g, error, normal, cut)
        spread, spread_scatter = _spread(g, normal)
        unrelated = float(_r_of(rng.permutation(g.group), g.mean[None, :], g.sigma, cut)[0])
        found.append(
            Candidate(
                hall=hall,
                r_int_percent=value,
                number=number,
                expected_percent=expected,
                scatter_percent=scatter,
                unrelated_percent=unrelated,
                spread=spread,
                spread_scatter=spread_scatter,
                allowed_spread=_allowed_spread(hall, found),
            )
        )
    found.reverse()
    chosen = next((c for c in found if c.possible), found[-1])
    untested = any(c.number < LEAST and _ORDER[c.hall] > _ORDER[chosen.hall] for c in found)
    alone = chosen.hall == "-P 1" and not untested
    return LaueEvidence(hall=chosen.hall, candidates=tuple(found), decided=alone or chosen.telling)


def _allowed_spread(hall: str, smaller: list[Candidate]) -> float:
    """From the possible class of the next smaller order."""
    able = [c for c in smaller if c.possible and _ORDER[c.hall] < _ORDER[hall]]
    order = max((_ORDER[c.hall] for c in able), default=0)
    least = min((c.spread for c in able if _ORDER[c.hall] == order), default=0.0)
    return RISE * least if order > 2 else max(LARGEST_SPREAD, RISE_FROM_FRIEDEL * least)


def _too_few(hall: str, value: float, number: int) -> Candidate:
    nan = float("nan")
    return Candidate(
        hall=hall,
        r_int_percent=value,
        number=number,
        expected_percent=nan,
        scatter_percent=nan,
        unrelated_percent=nan,
        spread=nan,
        spread_scatter=nan,
        allowed_spread=nan,
    )
