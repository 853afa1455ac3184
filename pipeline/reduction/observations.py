"""Integrated spots of all frames before merging, as one table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observations:
    """hkl (n, 3), frame (n,), intensity and sigma in counts (n,), predicted position in px (n,).

    moved_px (n, 2): how far the profile fitted best from the prediction; moved_sigma_px (n,) of one coordinate,
    infinite where the spot was too weak to say.
    """

    hkl: Ints
    frame: Ints
    intensity: Floats
    sigma: Floats
    fast_px: Floats
    slow_px: Floats
    moved_px: Floats | None = None
    moved_sigma_px: Floats | None = None


def take(o: Observations, keep: NDArray[np.generic]) -> Observations:
    """Subset by mask or index."""
    return Observations(
        hkl=o.hkl[keep],
        frame=o.frame[keep],
        intensity=o.intensity[keep],
        sigma=o.sigma[keep],
        fast_px=o.fast_px[keep],
        slow_px=o.slow_px[keep],
        moved_px=None if o.moved_px is None else o.moved_px[keep],
        moved_sigma_px=None if o.moved_sigma_px is None else o.moved_sigma_px[keep],
    )
