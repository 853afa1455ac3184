"""Integrated spots of all frames before merging, as one table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RELATIVE_ERROR = 0.012  # of an intensity, beyond counting: flat field, profile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observations:
    """hkl (n, 3), frame (n,), intensity and sigma in counts (n,), predicted position in px (n,).

    What integration knows beyond that, None for data from elsewhere: intensity times displacement from the prediction
    moment_px (n, 2) and its sigma (n,) of one coordinate in counts × px, infinite where there is none; base_variance
    (n,) of the intensity, to which the spot itself adds variance_per_count (n,) for each count that it has.
    """

    hkl: Ints
    frame: Ints
    intensity: Floats
    sigma: Floats
    fast_px: Floats
    slow_px: Floats
    moment_px: Floats | None = None
    moment_sigma_px: Floats | None = None
    base_variance: Floats | None = None
    variance_per_count: Floats | None = None

    def variance(self, expected: Floats) -> Floats:
        """Variance of the intensities (n,) when ``expected`` counts (n,) are there.

        Expected, not observed: a weight that follows the fluctuation of its own count pulls averages down. An
        observation far above what is expected is believed up to three sigma.
        """
        if self.base_variance is None or self.variance_per_count is None:
            return self.sigma**2
        counts = np.maximum(np.maximum(expected, self.intensity - 3.0 * self.sigma), 0.0)
        return np.asarray(self.base_variance + self.variance_per_count * counts + (RELATIVE_ERROR * counts) ** 2)


def take(o: Observations, keep: NDArray[np.generic]) -> Observations:
    """Subset by mask or index."""

    def part(column: Floats | None) -> Floats | None:
        return None if column is None else column[keep]

    return Observations(
        hkl=o.hkl[keep],
        frame=o.frame[keep],
        intensity=o.intensity[keep],
        sigma=o.sigma[keep],
        fast_px=o.fast_px[keep],
        slow_px=o.slow_px[keep],
        moment_px=part(o.moment_px),
        moment_sigma_px=part(o.moment_sigma_px),
        base_variance=part(o.base_variance),
        variance_per_count=part(o.variance_per_count),
    )


def unique_hkl(hkl: Ints) -> tuple[Ints, Ints]:
    """Different indices (m, 3) in ascending order, and the number of each one's row among them (n,).

    As numpy.unique along rows, in a tenth of its time: three indices below 2²⁰ fit into one whole number.
    """
    low, span = (
        (hkl.min(axis=0), np.ptp(hkl, axis=0) + 1) if len(hkl) else (np.zeros(3, np.int64), np.ones(3, np.int64))
    )
    packed = ((hkl[:, 0] - low[0]) * span[1] + hkl[:, 1] - low[1]) * span[2] + hkl[:, 2] - low[2]
    keys, inverse = np.unique(packed, return_inverse=True)
    rest, last = np.divmod(keys, span[2])
    unique = np.stack([*np.divmod(rest, span[1]), last], axis=1) + low
    return unique, np.asarray(inverse).reshape(-1)
