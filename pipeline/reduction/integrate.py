"""Intensities at predicted positions: a profile fit with a learned spot shape, a sum for strong spots.

Background: the frame's smooth model plus the mean of what remains in a ring free of other spots. Overlapping neighbours
are fitted together (Gauss–Seidel on the models). Variances follow the noise model: gain × counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.integrate_kernels import integrate_spots, learn_spots, moments
from pipeline.reduction.observations import RELATIVE_ERROR
from pipeline.reduction.spot_profile import SpotProfile
from pipeline.reduction.workspace import Workspace

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SUM_ABOVE = 25.0  # sigma beyond which the sum replaces the fit
FURTHER_PX = 1.0  # than the sum: the slopes of a strong spot tell its position, a fifth of that lies beyond
LEARN_ABOVE = 40.0  # sigma beyond which a spot teaches the profile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameIntensities:
    """Per spot: intensity, sigma in counts, the variance that the spot itself adds nothing to and what each of its
    counts adds, whether it can be used (on the detector, no bad pixel), intensity times displacement from the
    prediction (n, 2) and its sigma (n,) in counts × px, infinite where there is none; numerator and weight of the
    profile of the strongest spots."""

    intensity: Floats
    sigma: Floats
    base_variance: Floats
    variance_per_count: Floats
    usable: Bools
    moment_px: Floats
    moment_sigma_px: Floats
    learned: tuple[Floats, Floats]


def integrate_frame(
    *,
    work: Workspace,
    bad: Bools,
    fast_px: Floats,
    slow_px: Floats,
    profile: SpotProfile,
    gain: float,
) -> FrameIntensities:
    """Profile-fitted intensities, replaced by sums where the signal exceeds ``SUM_ABOVE`` sigma.

    ``work`` holds the background and the counts above it; models of the spots are drawn into its ``first``.
    """
    grid, reach = profile.grid, profile.reach_px
    net, background, model = work.net, work.background, work.first
    fitted, v_fit, b_fit, summed, v_sum, b_sum, status, shift, drawn = integrate_spots(
        net,
        background,
        bad,
        fast_px,
        slow_px,
        grid,
        reach,
        profile.fit_radius_px,
        profile.sum_radius_px,
        profile.inside,
        gain,
        4,
        work.marks,
        model,
    )
    strong = summed > SUM_ABOVE * np.sqrt(v_sum)
    intensity = np.where(strong, summed, fitted)
    variance, base = np.where(strong, v_sum, v_fit), np.where(strong, b_sum, b_fit)
    sigma = np.sqrt(variance + (RELATIVE_ERROR * np.maximum(intensity, 0.0)) ** 2)
    clear = intensity > 3.0 * sigma
    usual = gain / profile.inside
    per_count = np.where(clear, (variance - base) / np.where(clear, intensity, 1.0), usual)
    moment = moments(
        net,
        background,
        bad,
        fast_px,
        slow_px,
        grid,
        profile.sum_radius_px + FURTHER_PX,
        gain,
        model,
        shift,
        status,
        fitted,
        np.sqrt(v_fit),
    )
    chosen = np.flatnonzero((status == 0) & (summed > LEARN_ABOVE * np.sqrt(v_sum)))
    learned = learn_spots(net, model, bad, grid, fast_px, slow_px, summed, drawn, shift, chosen, reach, len(grid))
    return FrameIntensities(
        intensity=intensity,
        sigma=sigma,
        usable=status == 0,
        base_variance=base,
        variance_per_count=np.maximum(per_count, 0.2 * usual),
        moment_px=moment[:, :2],
        moment_sigma_px=np.where(moment[:, 2] > 0, moment[:, 2], np.inf),
        learned=learned,
    )
