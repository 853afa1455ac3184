"""From spots on frames to one kinematical intensity for each index.

I(h) = Σ w I_f p_f / Σ w p_f², p_f the model's share of the reflection in frame f: least squares, so that a reflection
that a frame only grazes counts little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.observations import Observations, unique_hkl
from pipeline.reduction.shares import relative_error as model_error

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PRIOR_FREEDOM = 8.0  # how many observations the noise model is worth beside the scatter of a reflection's own frames
LEAST_SPREAD = 0.8
START_ERROR = 0.05


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
    relative_error: float | None = None,
    reject: float = 5.0,
    least_swept: float = 0.4,
    additive: bool = False,
) -> FrameMerged:
    """Average over frames. share: (n,) model per unit F² (scale × relrod); swept: (n,) part of the curve in the
    exposure.

    Reflections that no frame sweeps by at least ``least_swept`` are left out: their intensity would be all model.
    ``additive``: exposures follow on each other without a gap or overlap (continuous rotation), so that the parts of a
    curve add up; strong reflections are then the sum over their frames, which no model of the curve can bias.
    ``relative_error`` of the model, estimated from the scatter of the frames when it is None.
    """
    o = observations
    unique, group = unique_hkl(o.hkl)
    n = len(unique)
    most = np.zeros(n)
    (np.add if additive else np.maximum).at(most, group, swept)
    keep = np.ones(len(group), dtype=bool)
    f2 = np.zeros(n)
    error = START_ERROR if relative_error is None else relative_error
    for turn in range(4):
        model = f2[group] * share
        if turn in (2, 3) and relative_error is None:
            error = model_error(o, model, n, start=START_ERROR)
        variance = o.sigma**2 + (error * model) ** 2 + (0.15 * model * (1 - np.minimum(swept, 1.0))) ** 2
        weight = np.where(keep, 1.0 / variance, 0.0)
        top = np.bincount(group, weights=weight * o.intensity * share, minlength=n)
        below = np.bincount(group, weights=weight * share**2, minlength=n)
        f2 = top / np.maximum(below, 1e-30)
        off = np.abs(o.intensity - f2[group] * share)
        limit = reject * np.sqrt(variance + (0.15 * f2[group] * share) ** 2)
        number = np.bincount(group, minlength=n)
        keep = (off < limit) | (number[group] < 3)
    model = f2[group] * share
    weight = np.where(keep, 1.0 / (o.sigma**2 + (error * model) ** 2), 0.0)
    below = np.bincount(group, weights=weight * share**2, minlength=n)
    frames = np.bincount(group[keep], minlength=n)
    chi2 = np.bincount(group, weights=weight * (o.intensity - model) ** 2, minlength=n)
    spread = (PRIOR_FREEDOM + chi2) / (PRIOR_FREEDOM + np.maximum(frames - 1, 0))
    sigma = np.sqrt(np.maximum(spread, LEAST_SPREAD) / np.maximum(below, 1e-30))
    if additive:
        f2, sigma = _with_sums(o, share, group, f2, sigma, most > 0.9)
    good = (most >= least_swept) & (frames > 0) & (below > 0)
    return FrameMerged(
        hkl=unique[good],
        intensity=f2[good],
        sigma=sigma[good],
        frames=frames[good],
        rejected=int(np.count_nonzero(~keep)),
    )


def _with_sums(
    o: Observations,
    share: Floats,
    group: Ints,
    f2: Floats,
    sigma: Floats,
    whole: NDArray[np.bool_],
    strong: float = 10.0,
) -> tuple[Floats, Floats]:
    """Sums over frames in place of least squares where the curve was swept wholly, the sum exceeds ``strong`` sigma
    and is the surer of the two: least squares share the error of the model, sums gather more background."""
    n = len(f2)
    total = np.bincount(group, weights=o.intensity, minlength=n)
    noise = np.sqrt(np.bincount(group, weights=o.sigma**2, minlength=n))
    below = np.maximum(np.bincount(group, weights=share, minlength=n), 1e-30)
    use = whole & (total > strong * noise) & (noise / below < sigma)
    return np.where(use, total / below, f2), np.where(use, noise / below, sigma)
