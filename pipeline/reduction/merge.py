"""From spots on frames to one kinematical intensity for each reflection.

I(h) = Σ w I_f p_f / Σ w p_f², p_f the model's share of the reflection in frame f: least squares, so that a reflection
that a frame only grazes counts little. Then equivalents are averaged under the Laue class.
R_int = Σ |I − ⟨I⟩| / Σ I over reflections with at least two equivalents, as Jana and SHELXL define it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.indexing import lattice_points
from pipeline.reduction.observations import Observations
from pipeline.types import MergedReflections, Reflections
from twin.physics.symmetry import asymmetric_hkl

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameMerged:
    """One intensity for each hkl: hkl (n, 3), intensity, sigma, frames that went in (n,), spots rejected."""

    hkl: Ints
    intensity: Floats
    sigma: Floats
    frames: Ints
    rejected: int


def merge_frames(
    *,
    observations: Observations,
    share: Floats,
    swept: Floats,
    relative_error: float = 0.05,
    reject: float = 5.0,
    least_swept: float = 0.4,
) -> FrameMerged:
    """Average over frames. share: (n,) model per unit F² (scale × relrod); swept: (n,) part of the curve in the
    exposure.

    Reflections that no frame sweeps by at least ``least_swept`` are left out: their intensity would be all model.
    """
    o = observations
    unique, group = np.unique(o.hkl, axis=0, return_inverse=True)
    group = np.asarray(group).reshape(-1)
    n = len(unique)
    most = np.zeros(n)
    np.maximum.at(most, group, swept)
    keep = np.ones(len(group), dtype=bool)
    f2 = np.zeros(n)
    for _ in range(4):
        model = f2[group] * share
        variance = o.sigma**2 + (relative_error * model) ** 2 + (0.15 * model * (1 - np.minimum(swept, 1.0))) ** 2
        weight = np.where(keep, 1.0 / variance, 0.0)
        top = np.bincount(group, weights=weight * o.intensity * share, minlength=n)
        below = np.bincount(group, weights=weight * share**2, minlength=n)
        f2 = top / np.maximum(below, 1e-30)
        off = np.abs(o.intensity - f2[group] * share)
        limit = reject * np.sqrt(variance + (0.15 * f2[group] * share) ** 2)
        number = np.bincount(group, minlength=n)
        keep = (off < limit) | (number[group] < 3)
    model = f2[group] * share
    weight = np.where(keep, 1.0 / (o.sigma**2 + (relative_error * model) ** 2), 0.0)
    below = np.bincount(group, weights=weight * share**2, minlength=n)
    frames = np.bincount(group[keep], minlength=n)
    chi2 = np.bincount(group, weights=weight * (o.intensity - model) ** 2, minlength=n) / np.maximum(frames - 1, 1)
    sigma = np.sqrt(1.0 / np.maximum(below, 1e-30)) * np.sqrt(np.where(frames > 1, np.maximum(chi2, 1.0), 1.0))
    good = (most >= least_swept) & (frames > 0) & (below > 0)
    return FrameMerged(
        hkl=unique[good],
        intensity=f2[good],
        sigma=sigma[good],
        frames=frames[good],
        rejected=int(np.count_nonzero(~keep)),
    )


def r_int(*, hkl: Ints, intensity: Floats, sigma: Floats, hall: str, cut: float = 0.0) -> tuple[float, int]:
    """R_int in percent over groups with two or more members and mean I > cut·σ, and how many reflections went in."""
    _, group = np.unique(asymmetric_hkl(hkl, hall, friedel=True), axis=0, return_inverse=True)
    group = np.asarray(group).reshape(-1)
    number = np.bincount(group)
    mean = np.bincount(group, weights=intensity) / number
    noise = np.sqrt(np.bincount(group, weights=sigma**2)) / number
    use = (number[group] > 1) & (mean[group] > cut * noise[group])
    if not np.any(use):
        return float("nan"), 0
    total = float(np.sum(intensity[use]))
    value = 100.0 * float(np.sum(np.abs(intensity - mean[group])[use])) / max(total, 1e-12)
    return value, int(np.count_nonzero(use))


def merge_equivalents(
    *, frames: FrameMerged, hall: str, centring: str, ub: Floats, g_max_per_angstrom: float, reject: float = 4.0
) -> MergedReflections:
    """Average over the Laue class ``hall``; sigma is the larger of the propagated and the observed one."""
    representative = asymmetric_hkl(frames.hkl, hall, friedel=True)
    unique, group = np.unique(representative, axis=0, return_inverse=True)
    group = np.asarray(group).reshape(-1)
    n = len(unique)
    keep = np.ones(len(group), dtype=bool)
    variance = frames.sigma**2
    mean = np.zeros(n)
    for _ in range(3):
        weight = np.where(keep, 1.0 / (variance + (0.1 * np.maximum(mean[group], 0.0)) ** 2), 0.0)
        total = np.bincount(group, weights=weight, minlength=n)
        mean = np.bincount(group, weights=weight * frames.intensity, minlength=n) / np.maximum(total, 1e-30)
        spread = np.sqrt(variance + (0.15 * np.maximum(mean[group], 0.0)) ** 2)
        number = np.bincount(group, minlength=n)
        keep = (np.abs(frames.intensity - mean[group]) < reject * spread) | (number[group] < 4)
    number = np.bincount(group[keep], minlength=n)
    weight = np.where(keep, 1.0 / (variance + (0.1 * np.maximum(mean[group], 0.0)) ** 2), 0.0)
    total = np.bincount(group, weights=weight, minlength=n)
    propagated = np.sqrt(np.bincount(group, weights=weight**2 * variance, minlength=n)) / np.maximum(total, 1e-30)
    scatter = np.bincount(group, weights=weight * (frames.intensity - mean[group]) ** 2, minlength=n)
    observed = np.sqrt(scatter / np.maximum(total, 1e-30) / np.maximum(number - 1, 1))
    sigma = np.where(number > 2, np.maximum(propagated, observed), propagated)
    value, _ = r_int(hkl=frames.hkl[keep], intensity=frames.intensity[keep], sigma=frames.sigma[keep], hall=hall)
    possible = unique_count(hall=hall, centring=centring, ub=ub, g_max_per_angstrom=g_max_per_angstrom)
    return MergedReflections(
        hkl=unique,
        intensity=mean,
        sigma=sigma,
        multiplicity=number.astype(np.int64),
        hall=hall,
        r_int_percent=value,
        completeness_percent=100.0 * n / max(possible, 1),
        redundancy=float(len(frames.hkl) / max(n, 1)),
        g_max_per_angstrom=g_max_per_angstrom,
    )


def unmerged(
    reflections: Reflections, *, ub: Floats | None = None, centring: str = "P", g_max_per_angstrom: float | None = None
) -> MergedReflections:
    """One entry for each hkl, averaged over frames only (hall '-P 1'), for refinement on non-averaged data.

    Completeness and the limit in |g| need ``ub``; they are NaN without it.
    """
    if reflections.partiality is None:
        raise ValueError("unmerged: these reflections carry no partiality; reduce the frames again")
    frames = merge_frames(
        observations=as_observations(reflections),
        share=reflections.partiality * reflections.frame_scale[reflections.frame],
        swept=reflections.swept_fraction,
    )
    value, _ = r_int(hkl=frames.hkl, intensity=frames.intensity, sigma=frames.sigma, hall="-P 1")
    n, limit, completeness = len(frames.hkl), float("nan"), float("nan")
    if ub is not None:
        limit = g_max_per_angstrom or float(np.max(np.linalg.norm(frames.hkl @ ub.T, axis=1), initial=0.0))
        completeness = 100.0 * n / max(len(lattice_points(ub=ub, centring=centring, g_max_per_angstrom=limit)), 1)
    return MergedReflections(
        hkl=frames.hkl,
        intensity=frames.intensity,
        sigma=frames.sigma,
        multiplicity=np.ones(n, dtype=np.int64),
        hall="-P 1",
        r_int_percent=value,
        completeness_percent=completeness,
        redundancy=float(np.mean(frames.frames)) if n else 0.0,
        g_max_per_angstrom=limit,
    )


def as_observations(reflections: Reflections) -> Observations:
    """The integrated spots of :class:`Reflections` as the table that merging takes."""
    r = reflections
    return Observations(
        hkl=r.hkl, frame=r.frame, intensity=r.intensity, sigma=r.sigma, fast_px=r.fast_px, slow_px=r.slow_px
    )


def unique_count(*, hall: str, centring: str, ub: Floats, g_max_per_angstrom: float) -> int:
    """Unique reflections of the Laue class and centring up to g_max (Friedel mates are one)."""
    hkl = lattice_points(ub=ub, centring=centring, g_max_per_angstrom=g_max_per_angstrom)
    return len(np.unique(asymmetric_hkl(hkl, hall, friedel=True), axis=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """One resolution shell of merged data."""

    g_low_per_angstrom: float
    g_high_per_angstrom: float
    reflections: int
    completeness_percent: float
    redundancy: float
    r_int_percent: float
    mean_i_over_sigma: float


def shells(
    *, frames: FrameMerged, hall: str, centring: str, ub: Floats, g_max_per_angstrom: float, number: int = 10
) -> tuple[Shell, ...]:
    """Statistics in shells of equal reciprocal volume."""
    edges = g_max_per_angstrom * (np.arange(number + 1) / number) ** (1 / 3)
    g = np.linalg.norm(asymmetric_hkl(frames.hkl, hall, friedel=True) @ ub.T, axis=1)
    every = lattice_points(ub=ub, centring=centring, g_max_per_angstrom=g_max_per_angstrom)
    unique = np.unique(asymmetric_hkl(every, hall, friedel=True), axis=0)
    g_unique = np.linalg.norm(unique @ ub.T, axis=1)
    rows = []
    for low, high in pairwise(edges.tolist()):
        own = (g > low) & (g <= high)
        possible = int(np.count_nonzero((g_unique > low) & (g_unique <= high)))
        measured = len(np.unique(asymmetric_hkl(frames.hkl[own], hall, friedel=True), axis=0)) if np.any(own) else 0
        value = (
            r_int(hkl=frames.hkl[own], intensity=frames.intensity[own], sigma=frames.sigma[own], hall=hall)[0]
            if np.any(own)
            else float("nan")
        )
        rows.append(
            Shell(
                g_low_per_angstrom=float(low),
                g_high_per_angstrom=float(high),
                reflections=measured,
                completeness_percent=100.0 * measured / max(possible, 1),
                redundancy=float(np.count_nonzero(own)) / max(measured, 1),
                r_int_percent=value,
                mean_i_over_sigma=float(np.mean(frames.intensity[own] / frames.sigma[own])) if np.any(own) else 0.0,
            )
        )
    return tuple(rows)
