"""Putting spots on pixels: fine-sampled shapes at sub-pixel positions, electrons conserved.

A shape is piecewise constant on its fine steps, so a pixel's share is a box sum over ``oversampling`` steps, linear
between whole steps. The box sums of all templates at all sub-pixel phases are made once for a frame; a spot is then
the mixture of four of them in its few pixels instead of all its fine steps.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from twin.physics.lattice import Floats

FAINT_ELECTRONS = 10.0


@numba.njit(cache=True)
def _box_sums(templates: Any, oversampling: int, out: Any) -> None:
    """out[fy, fx, t, ky, kx] ← sum of template t over the box of ``oversampling`` steps a side.

    It starts at step f + k · oversampling − oversampling along each direction; steps outside a template are 0.
    Phases f run to oversampling + 1: a position and its next step have the same k.
    """
    count, samples, _ = templates.shape
    phases, width = out.shape[0], out.shape[3]
    reach = samples + oversampling + 1  # starts −oversampling … samples
    across, both = np.zeros((reach, samples)), np.zeros((phases + (width - 1) * oversampling, reach))
    for t in range(count):
        _slide(templates[t].T, oversampling, across)
        _slide(across.T, oversampling, both)
        for fy in range(phases):
            for fx in range(phases):
                for ky in range(width):
                    for kx in range(width):
                        x = fx + kx * oversampling
                        out[fy, fx, t, ky, kx] = both[fy + ky * oversampling, x] if x < reach else 0.0


@numba.njit(cache=True)
def _slide(values: Any, length: int, out: Any) -> None:
    """out[m] ← Σ of the rows m − length … m − 1 of values (n, k) that exist, for m up to n + length."""
    line = np.zeros(values.shape[1])
    for m in range(values.shape[0] + length + 1):
        out[m] = line
        if m < values.shape[0]:
            line += values[m]
        if length <= m < values.shape[0] + length:
            line -= values[m - length]


@numba.njit(cache=True)
def _place(position: float, samples: int, oversampling: int) -> tuple[int, int, float]:
    """(first pixel that a spot touches, whole step where the pixel starts in the box sums, rest of a step)."""
    low = position + (-(samples // 2) - 0.5) / oversampling + 0.5
    pixel = math.floor(low)
    start = (pixel - low) * oversampling + oversampling
    whole = math.floor(start)
    return pixel, whole, start - whole


@numba.njit(cache=True, fastmath=True)
def _mix(boxes: Any, mixture: Any, row: int, col: int, row_rest: float, col_rest: float, patch: Any) -> None:
    """patch (pixels) ← mixture of the templates, linear between the four steps around (row, col)."""
    patch[:] = 0.0
    for a in range(2):
        for b in range(2):
            share = (row_rest if a else 1.0 - row_rest) * (col_rest if b else 1.0 - col_rest)
            for t in range(boxes.shape[2]):
                factor = np.float32(share * mixture[t])
                source = boxes[row + a, col + b, t]
                for i in range(patch.size):
                    patch[i] += factor * source[i]


@numba.njit(cache=True)
def _add_spots(image: Any, boxes: Any, coefficients: Any, scale: Any, position: Any, width: int) -> None:
    """boxes (phases, phases, T, width²): see :func:`_box_sums`; the other arguments as in :func:`add_spots`."""
    slow, fast = image.shape
    oversampling = boxes.shape[0] - 2
    samples = (width - 1) * oversampling
    patch = np.zeros(width * width, dtype=boxes.dtype)
    for n in range(position.shape[0]):
        col, col_step, col_rest = _place(position[n, 0], samples, oversampling)
        row, row_step, row_rest = _place(position[n, 1], samples, oversampling)
        if row >= slow or col >= fast or row + width <= 0 or col + width <= 0:
            continue
        mixture = coefficients[min(n, coefficients.shape[0] - 1)]
        _mix(boxes, mixture, row_step, col_step, row_rest, col_rest, patch)
        for i in range(max(0, -row), min(width, slow - row)):
            for j in range(max(0, -col), min(width, fast - col)):
                image[row + i, col + j] += scale[n] * max(patch[i * width + j], 0.0)


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

    coefficients (N, T) of templates (T, n, n) with ``oversampling`` steps a pixel, n a multiple of it; intensity (N,)
    electrons that each spot gets in total; position_px (N, 2) fast, slow. Spots below ``FAINT_ELECTRONS`` share their
    mean shape.
    """
    boxes = _boxes(templates, oversampling)
    total = templates.reshape(len(templates), -1).sum(axis=1, dtype=np.float64)
    faint = intensity < FAINT_ELECTRONS
    _add(image, boxes, total, coefficients[~faint], intensity[~faint], position_px[~faint])
    if faint.any():
        common = coefficients[faint].sum(axis=0, keepdims=True)
        shared = (common[0].astype(np.float32) @ boxes)[:, :, None]
        one = common @ total
        _add(image, shared, one, np.ones((1, 1)), intensity[faint], position_px[faint])


def _boxes(templates: Floats, oversampling: int) -> NDArray[np.float32]:
    """(phases, phases, T, pixels) box sums of the templates."""
    count, samples, _ = templates.shape
    phases, width = oversampling + 2, samples // oversampling + 1
    boxes = np.zeros((phases, phases, count, width, width), dtype=np.float32)
    _box_sums(templates, oversampling, boxes)
    return boxes.reshape(phases, phases, count, width**2)


def _add(
    image: NDArray[np.float32],
    boxes: NDArray[np.float32],
    total: Floats,
    coefficients: Floats,
    intensity: Floats,
    position_px: Floats,
) -> None:
    """Spots of coefficients (N or 1, T): one row serves all spots. total (T,): sums of the templates."""
    if len(intensity) == 0:
        return
    scale = np.asarray(intensity / np.maximum(coefficients @ total, 1e-30), dtype=np.float64)
    rows = np.ascontiguousarray(coefficients, dtype=np.float64)
    _add_spots(image, np.ascontiguousarray(boxes), rows, scale, position_px, math.isqrt(boxes.shape[3]))
