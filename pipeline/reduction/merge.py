"""Equivalents under the Laue class averaged to one intensity, and observations as refinements on frames take them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.frame_average import FrameMerged, merge_frames
from pipeline.reduction.indexing import lattice_points
from pipeline.reduction.observations import Observations, unique_hkl
from pipeline.reduction.statistics import r_int, unique_count
from pipeline.types import MergedReflections, Reflections
from twin.physics.symmetry import asymmetric_hkl

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def merge_equivalents(
    *, frames: FrameMerged, hall: str, centring: str, ub: Floats, g_max_per_angstrom: float, reject: float = 4.0
) -> MergedReflections:
    """Average over the Laue class ``hall``; sigma is the larger of the propagated and the observed one."""
    representative = asymmetric_hkl(frames.hkl, hall, friedel=True)
    unique, group = unique_hkl(representative)
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
        additive=reflections.additive,
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
