"""Putting spots on pixels: fine-sampled shapes at sub-pixel positions, electrons conserved."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from twin.physics.lattice import Floats, Ints

FAINT_ELECTRONS = 10.0


@numba.njit(cache=True)
def _edges(position: float, samples: int, oversampling: int, first: Any, share: Any) -> None:
    """First pixel that each fine step touches, and the share of it there (the rest goes to the next pixel)."""
    for i in range(samples):
        low = position + (i - samples // 2 - 0.5) / oversampling + 0.5
        pixel = math.floor(low)
        first[i] = pixel
        share[i] = min(1.0, (pixel + 1 - low) * oversampling)


@numba.njit(cache=True)
def _add_spots(image: Any, shapes: Any, position: Any, oversampling: int) -> None:
    slow, fast = image.shape
    count, samples, _ = shapes.shape
    col, row = np.empty(samples, np.int64), np.empty(samples, np.int64)
    col_share, row_share = np.empty(samples), np.empty(samples)
    width = samples // oversampling + 3
    line = np.empty(width)
    for n in range(count):
        _edges(position[n, 0], samples, oversampling, col, col_share)
        _edges(position[n, 1], samples, oversampling, row, row_share)
        base = col[0]
        for i in range(samples):
            line[:] = 0.0
            for j in range(samples):
                value = shapes[n, i, j]
                k = col[j] - base
                line[k] += value * col_share[j]
                line[k + 1] += value * (1.0 - col_share[j])
            for part in range(2):
                y = row[i] + part
                factor = row_share[i] if part == 0 else 1.0 - row_share[i]
                if y < 0 or y >= slow or factor == 0.0:
                    continue
                for k in range(width):
                    x = base + k
                    if 0 <= x < fast:
                        image[y, x] += factor * line[k]


def add_spots(
    image: NDArray[np.float32],
    *,
    coefficients: Floats,
    templates: Floats,
    intensity: Floats,
    position_px: Floats,
    oversampling: int,
) -> None:
    """Add spots to ``image`` (slow, fast) in place; spots that reach over its edge lose what falls outside.

    coefficients (N, T) of templates (T, n, n) with ``oversampling`` steps a pixel; intensity (N,) electrons that each
    spot gets in total; position_px (N, 2) fast, slow. Spots below ``FAINT_ELECTRONS`` share their mean shape.
    """
    flat = templates.reshape(len(templates), -1).astype(np.float32)
    faint = intensity < FAINT_ELECTRONS
    for part in _parts(np.flatnonzero(~faint)):
        _add(image, coefficients[part], flat, intensity[part], position_px[part], oversampling)
    common = coefficients[faint].sum(axis=0, keepdims=True)
    for part in _parts(np.flatnonzero(faint)):
        _add(image, common, flat, intensity[part], position_px[part], oversampling)


def _parts(index: Ints) -> list[Ints]:
    return [index[i : i + 128] for i in range(0, len(index), 128)]


def _add(
    image: NDArray[np.float32],
    coefficients: Floats,
    flat: NDArray[np.float32],
    intensity: Floats,
    position_px: Floats,
    oversampling: int,
) -> None:
    """Spots of coefficients (N or 1, T): one row serves all spots."""
    samples = math.isqrt(flat.shape[1])
    shapes = np.maximum(coefficients.astype(np.float32) @ flat, 0.0)
    total = np.maximum(shapes.sum(axis=1), np.float32(1e-30))
    shapes = shapes * (intensity.astype(np.float32) / total)[:, None]
    _add_spots(image, shapes.reshape(-1, samples, samples), position_px, oversampling)
