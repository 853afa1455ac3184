"""Intensities at predicted positions: a profile fit with a learned spot shape, a sum for strong spots.

Background: the frame's smooth model plus the mean of what remains in a ring free of other spots. Overlapping neighbours
are fitted together (Gauss–Seidel on the models). Variances follow the noise model: gain × counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.integrate_kernels import free_of_others, integrate_spots
from pipeline.reduction.spot_profile import SpotProfile, learn

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameIntensities:
    """Per spot: intensity, sigma in counts, whether it can be used (on the detector, no bad pixel), and both
    estimates."""

    intensity: Floats
    sigma: Floats
    usable: Bools
    fitted: Floats
    summed: Floats
    learned: tuple[Floats, Floats]  # numerator and weight of the profile of the strongest spots


def integrate_frame(
    *,
    net: NDArray[np.float32],
    background: NDArray[np.float32],
    bad: Bools,
    fast_px: Floats,
    slow_px: Floats,
    profile: SpotProfile,
    gain: float,
    sum_above: float = 25.0,
    relative_error: float = 0.012,
    learn_above: float = 40.0,
) -> FrameIntensities:
    """Profile-fitted intensities, replaced by sums where the signal exceeds ``sum_above`` sigma."""
    fitted, v_fit, summed, v_sum, status, shift, model, drawn = integrate_spots(
        net,
        background,
        bad,
        fast_px,
        slow_px,
        profile.grid,
        profile.reach_px,
        profile.fit_radius_px,
        profile.sum_radius_px,
        profile.inside,
        gain,
        4,
    )
    strong = summed > sum_above * np.sqrt(v_sum)
    intensity = np.where(strong, summed, fitted)
    sigma = np.sqrt(np.where(strong, v_sum, v_fit) + (relative_error * np.maximum(intensity, 0.0)) ** 2)
    size = len(profile.grid)
    value, weight = np.zeros((size, size)), np.zeros((size, size))
    chosen = np.flatnonzero((status == 0) & (summed > learn_above * np.sqrt(v_sum)))
    if len(chosen):
        cuts = free_of_others(net, model, profile.grid, fast_px, slow_px, drawn, shift, chosen, profile.reach_px)
        for cut, n in zip(cuts, chosen, strict=True):
            x0, y0 = np.rint(fast_px[n]) - profile.reach_px - 1, np.rint(slow_px[n]) - profile.reach_px - 1
            v, w = learn(
                cut,
                np.isnan(cut),
                np.array([fast_px[n] - x0]),
                np.array([slow_px[n] - y0]),
                np.array([summed[n]]),
                size,
            )
            value += v
            weight += w
    return FrameIntensities(
        intensity=intensity, sigma=sigma, usable=status == 0, fitted=fitted, summed=summed, learned=(value, weight)
    )
