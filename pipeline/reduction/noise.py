"""Counts are not electrons: the variance of a sum of pixels, estimated from the frames.

One electron fires several neighbouring pixels, so a pixel alone looks Poissonian and a sum does not:
var(Σ c) = gain · Σ c + psi · n_pixels, where gain = Σ over lags of the autocovariance of the background / its mean.
(The linear model with two parameters is that of PETS2; the lag sum is the zero-frequency noise power.)
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


def _frame_covariance(residual: Floats, good: NDArray[np.bool_], reach: int) -> float:
    """Σ over lags |dx|, |dy| ≤ reach of the autocovariance, each lag over the pairs that are both good."""
    masked = np.where(good, residual, 0.0)
    total = 0.0
    for dy in range(0, reach + 1):
        for dx in range(-reach, reach + 1):
            if dy == 0 and dx < 0:
                continue
            a, b = masked[dy:], masked[: masked.shape[0] - dy]
            ga, gb = good[dy:], good[: good.shape[0] - dy]
            if dx >= 0:
                a, b, ga, gb = a[:, dx:], b[:, : b.shape[1] - dx], ga[:, dx:], gb[:, : gb.shape[1] - dx]
            else:
                a, b, ga, gb = a[:, :dx], b[:, -dx:], ga[:, :dx], gb[:, -dx:]
            pairs = np.count_nonzero(ga & gb)
            value = float(np.vdot(a, b)) / max(pairs, 1)
            total += value if dy == 0 and dx == 0 else 2 * value
    return total


def estimate_noise(
    *,
    frames: NDArray[np.unsignedinteger],
    backgrounds: NDArray[np.float32],
    bad: NDArray[np.bool_],
    reach: int = 2,
    fallback_gain: float = 1.0,
) -> NoiseModel:
    """Noise of a few frames; ``frames``, ``backgrounds``, ``bad``: (m, slow, fast), ``bad`` with spots marked too."""
    means, covariances, weights = [], [], []
    for image, model, mask in zip(frames, backgrounds, bad, strict=True):
        residual = image.astype(np.float64) - model
        good = ~mask
        for low, high in _levels(model[good]):
            band = good & (model >= low) & (model < high)
            number = int(np.count_nonzero(band))
            if number < 3000:
                continue
            centred = residual - float(residual[band].mean())
            means.append(float(image[band].mean()))
            covariances.append(_frame_covariance(centred, band, reach))
            weights.append(number)
    if not means or np.max(means) < 1e-3:
        return NoiseModel(gain=fallback_gain, psi=0.0, pixels=0)
    mean, covariance, weight = np.array(means), np.array(covariances), np.array(weights, dtype=np.float64)
    ratio = float(np.median(np.repeat(covariance / np.maximum(mean, 1e-3), np.maximum(weight / 3000, 1).astype(int))))
    return NoiseModel(gain=float(np.clip(ratio, 0.3, 50.0)), psi=0.0, pixels=int(weight.sum()))


def _levels(values: NDArray[np.float32]) -> list[tuple[float, float]]:
    """Three bands of equal population in the background level."""
    if values.size == 0:
        return []
    cuts = np.quantile(values, [0.0, 1 / 3, 2 / 3, 1.0])
    return [(float(a), float(b) + 1e-6) for a, b in zip(cuts[:-1], cuts[1:], strict=True) if b > a]
