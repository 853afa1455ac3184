"""Frames small enough for a web page: logarithmic greys in a few levels, reflections and peaks beside them.

Noise is what makes a picture of a frame large, so the number of grey levels and, if it must be, the number of pixels
go down until the whole series fits the budget.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.types import Peaks, Reflections
from twin.model.dataset import Dataset

BUDGET_BYTES = 5_500_000  # of PNG data, for all frames together
LADDER = ((1, 40), (1, 24), (1, 16), (1, 12), (2, 24), (2, 12), (4, 24), (4, 12), (8, 12))  # binning, grey levels
MAX_FRAMES = 240  # a longer series is thinned evenly


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameSet:
    """``images``: PNG as base64, one a shown frame; ``index``: which frames; ``data``: what the script draws."""

    images: tuple[str, ...]
    index: tuple[int, ...]
    size_px: tuple[int, int]
    data: list[dict[str, Any]]
    note: str


def frame_set(*, dataset: Dataset, reflections: Reflections | None, peaks: Peaks | None) -> FrameSet:
    """Pictures of the frames with everything that is drawn over them; positions in the detector's pixels."""
    count = len(dataset.counts)
    index = np.unique(np.linspace(0, count - 1, min(count, MAX_FRAMES)).round().astype(int))
    low, high = _grey_range(dataset)
    pictures, binning, levels = _fit(dataset, index, low, high)
    slow, fast = dataset.counts.shape[1:]
    note = f"Counts from {low:.0f} to {high:.0f} on a logarithmic scale in {levels} greys"
    note += f"; the largest of {binning} × {binning} pixels is shown." if binning > 1 else "."
    if len(index) < count:
        note += f" {len(index)} of {count} frames are shown, evenly spaced."
    return FrameSet(
        images=tuple(base64.b64encode(p).decode("ascii") for p in pictures),
        index=tuple(int(i) for i in index),
        size_px=(int(fast), int(slow)),
        data=[_frame_data(dataset, int(f), reflections, peaks) for f in index],
        note=note,
    )


def _grey_range(dataset: Dataset) -> tuple[float, float]:
    """White and black in counts: below the typical background, and well into the strong peaks."""
    sample = dataset.counts[:: max(1, len(dataset.counts) // 8)][:, ~dataset.bad_pixels]
    low = max(1.0, float(np.quantile(sample, 0.30)))
    high = float(np.quantile(sample, 0.9995))
    return low, max(high, 8.0 * low)


def _fit(
    dataset: Dataset, index: NDArray[np.int64], low: float, high: float
) -> tuple[list[bytes], int, int]:
    """PNGs under the budget by the first rung of the ladder that fits, judged on a few frames."""
    trial = index[:: max(1, len(index) // 3)]
    for binning, levels in LADDER:
        size = sum(len(_picture(dataset, f, low, high, binning, levels)) for f in trial) / len(trial)
        if size * len(index) <= BUDGET_BYTES or (binning, levels) == LADDER[-1]:
            return [_picture(dataset, f, low, high, binning, levels) for f in index], binning, levels
    raise AssertionError("the last rung of the ladder always fits")


def _picture(dataset: Dataset, f: int, low: float, high: float, binning: int, levels: int) -> bytes:
    counts = np.where(dataset.bad_pixels, 0, dataset.counts[f])
    slow, fast = (n // binning * binning for n in counts.shape)
    blocks = counts[:slow, :fast].reshape(slow // binning, binning, fast // binning, binning).max(axis=(1, 3))
    grey = np.log(np.maximum(blocks, low) / low) / np.log(high / low)
    level = np.clip(np.round(grey * (levels - 1)), 0, levels - 1).astype(np.uint8)
    image = Image.fromarray(level, mode="P")
    shades = np.linspace(255, 12, levels).round().astype(int)
    image.putpalette([int(v) for shade in shades for v in (shade, shade, min(255, shade + 6))])
    data = io.BytesIO()
    image.save(data, format="PNG", optimize=False, compress_level=6, bits=max(1, int(np.ceil(np.log2(levels)))))
    return data.getvalue()


def _frame_data(dataset: Dataset, f: int, reflections: Reflections | None, peaks: Peaks | None) -> dict[str, Any]:
    predicted: list[list[float]] = []
    if reflections is not None:
        own = np.flatnonzero(reflections.frame == f)
        ratio = reflections.intensity[own] / np.maximum(reflections.sigma[own], 1e-9)
        s = 1e3 * reflections.excitation_error_per_angstrom[own]
        columns = (reflections.fast_px[own].round(1), reflections.slow_px[own].round(1), *reflections.hkl[own].T,
                   np.nan_to_num(ratio).round(1), np.nan_to_num(s).round(1))  # fmt: skip
        predicted = [[_short(v) for v in row] for row in zip(*columns, strict=True)]
    measured: list[list[float]] = []
    if peaks is not None:
        own = np.flatnonzero(peaks.frame == f)
        measured = np.column_stack([peaks.fast_px[own], peaks.slow_px[own]]).round(1).tolist()
    return {"frame": f, "alpha": round(float(dataset.alpha_mid_deg[f]), 3), "p": predicted, "m": measured}


def _short(value: Any) -> float:
    number = float(value)
    return int(number) if number.is_integer() else number
