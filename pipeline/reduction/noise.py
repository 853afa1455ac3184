"""Counts are not electrons: the variance of a sum of pixels, estimated from the frames.

One electron fires several neighbouring pixels, so a pixel alone looks Poissonian and a sum does not:
var(Σ c) = gain · Σ c + psi · n_pixels. The gain comes from differences of neighbouring blocks of background.
(The linear model with two parameters is that of PETS2.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseModel:
    """var(sum of n pixels) = gain × counts + psi × n. ``pixels``: how many pixels the estimate rests on."""

    gain: float
    psi: float
    pixels: int

    def variance(self, *, counts: Floats, pixels: Floats | float) -> Floats:
        """Variance of sums of ``counts`` over ``pixels`` pixels."""
        return np.asarray(self.gain * np.maximum(counts, 0.0) + self.psi * np.asarray(pixels, dtype=np.float64))


def _block_differences(residual: Floats, counts: Floats, good: NDArray[np.bool_], edge: int) -> tuple[Floats, Floats]:
    """Differences of the sums of neighbouring blocks that are wholly good, and the mean of the counts of both."""
    rows, columns = (n // edge * edge for n in residual.shape)

    def blocks(a: NDArray[np.generic]) -> Floats:
        cut = a[:rows, :columns].reshape(rows // edge, edge, columns // edge, edge)
        return np.asarray(cut.sum(axis=(1, 3), dtype=np.float64))

    full = blocks(good) == edge * edge
    sums, level = blocks(residual), blocks(counts)
    across, down = full[:, 1:] & full[:, :-1], full[1:] & full[:-1]
    difference = np.concatenate([(sums[:, 1:] - sums[:, :-1])[across], (sums[1:] - sums[:-1])[down]])
    mean = np.concatenate([0.5 * (level[:, 1:] + level[:, :-1])[across], 0.5 * (level[1:] + level[:-1])[down]])
    return difference, mean


def _gain_of_blocks(pairs: list[tuple[Floats, Floats]]) -> tuple[float, int]:
    """Robust variance of differences over twice their mean (clipped at 3.5 sigma).

    The smallest of three bands in the level: structure that the background model misses can only add to it.
    """
    difference = np.concatenate([p[0] for p in pairs])
    mean = np.concatenate([p[1] for p in pairs])
    use = mean > 1.0
    if np.count_nonzero(use) < 600:
        return float("nan"), 0
    scaled = (difference / np.sqrt(2.0 * np.maximum(mean, 1e-9)))[use]
    third = np.argsort(np.argsort(mean[use])) * 3 // np.count_nonzero(use)
    values = []
    for band in range(3):
        own = scaled[third == band]
        spread = float(np.quantile(np.abs(own), 0.6827))
        for _ in range(5):
            spread = float(np.std(own[np.abs(own) < 3.5 * spread]))
        values.append(spread**2)
    return min(values), int(np.count_nonzero(use))


def estimate_noise(
    *,
    frames: NDArray[np.unsignedinteger],
    backgrounds: NDArray[np.float32],
    bad: NDArray[np.bool_],
    edges: tuple[int, int] = (3, 6),
    fallback_gain: float = 1.0,
) -> NoiseModel:
    """Noise of a few frames; ``frames``, ``backgrounds``, ``bad``: (m, slow, fast), ``bad`` with spots marked too.

    Blocks of two sizes: correlations that reach over the edge of a block are lost in proportion to 1 / size, so the two
    extrapolate to the value for a large block, without the slow changes of the background that a large block would see.
    """
    gains, number = [], 0
    for edge in edges:
        pairs = []
        for image, model, mask in zip(frames, backgrounds, bad, strict=True):
            counts = image.astype(np.float64)
            pairs.append(_block_differences(counts - model, counts, ~mask, edge))
        gain, number = _gain_of_blocks(pairs)
        gains.append(gain)
    if not np.all(np.isfinite(gains)):
        return NoiseModel(gain=fallback_gain, psi=0.0, pixels=0)
    small, large = gains
    ratio = edges[1] / edges[0]
    value = (ratio * large - small) / (ratio - 1.0)
    return NoiseModel(gain=float(np.clip(max(value, small), 0.3, 50.0)), psi=0.0, pixels=number * edges[1] ** 2)
