"""Stills that do not fit what all the others agree on: a wrong orientation shows in intensities and in the scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.observations import Observations
from pipeline.reduction.serial.refine import StillsFit

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MISFIT_LIMIT = 5.0  # robust standard deviations above the median
SCALE_LIMIT = 8.0  # robust standard deviations of the logarithm, either way
LEAST_LOG_SCALE = 0.5  # particles differ in volume: nothing below a factor of 1.6 is refused


def misfits(o: Observations, fit: StillsFit) -> Floats:
    """Σ|I − model| / Σ max(I, model) over the reflections of each still (frames,) that either says are clear."""
    frames, larger = len(fit.scale), np.maximum(o.intensity, fit.expected)
    clear = larger > 5.0 * o.sigma
    off = np.bincount(o.frame[clear], weights=np.abs(o.intensity - fit.expected)[clear], minlength=frames)
    total = np.bincount(o.frame[clear], weights=larger[clear], minlength=frames)
    return np.asarray(np.where(total > 0, off / np.maximum(total, 1e-12), 1.0))


def fitting(o: Observations, fit: StillsFit) -> Bools:
    """Stills (frames,) whose intensities and scale are not far from those of the rest."""
    misfit, log_scale = misfits(o, fit), np.log(fit.scale)
    far = np.abs(log_scale - np.median(log_scale)) > max(SCALE_LIMIT * _spread(log_scale), LEAST_LOG_SCALE)
    return np.asarray(~far & (misfit <= np.median(misfit) + MISFIT_LIMIT * _spread(misfit)))


def _spread(values: Floats) -> float:
    """Standard deviation from the median absolute deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))
