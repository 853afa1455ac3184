"""Raw frames of detectors made of two by two chips whose border pixels are wide.

Where chips meet, their last rows and columns of pixels are larger than the others so that no electron is lost. Raw
frames show each of them as one pixel: everything beyond the middle is seen too near. Of the Medipix3 quad (512 × 512 px
of 55 µm) the border pixels are twice as wide, so that 2 px are missing (said by the README of
github.com/dagewa/expand_and_shift); programs that save 516 × 516 px of a Timepix have put theirs in already.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.io.series.nominal import Counts, Nominal, RawSeries
from twin.files.errors import InputError

Ints = NDArray[np.int64]

ALL_COUNTS = 1.5  # brightness of the border pixels against their neighbours above which they hold all that fell on them


def with_chip_gap(raw: RawSeries, nominal: Nominal) -> tuple[RawSeries, Nominal]:
    """Frames and centre with ``nominal.chip_gap_px`` rows and columns put in: every wide pixel becomes several.

    Some cameras divide the counts of wide pixels by their width, others do not; their brightness tells. Counts are
    shared out in the second case, so that no electron is lost or made.
    """
    gap = nominal.chip_gap_px or 0
    if gap == 0:
        return raw, nominal
    _, slow, fast = raw.counts.shape
    if slow % 2 or fast % 2 or gap % 2:
        raise InputError(
            f"{raw.source}: chip_gap_px is {gap} with frames of {fast} × {slow} px; both sides and the gap must be even"
        )
    counts = raw.counts
    for axis in (1, 2):
        counts = _widened(counts, axis, gap)
    bad = raw.bad_pixels
    if bad is not None:
        bad = bad[np.ix_(_sources(slow, gap), _sources(fast, gap))]
    centred = replace(
        nominal,
        centre_fast_px=_moved(nominal.centre_fast_px, fast, gap),
        centre_slow_px=_moved(nominal.centre_slow_px, slow, gap),
    )
    return replace(raw, counts=counts, bad_pixels=bad), centred


def _sources(size: int, gap: int) -> Ints:
    """Of each line of the widened frame the line that it comes from (size + gap,)."""
    middle, more = size // 2, gap // 2
    return np.concatenate(
        [np.arange(middle), np.full(more, middle - 1), np.full(more, middle), np.arange(middle, size)]
    )


def _moved(centre_px: float | None, size: int, gap: int) -> float | None:
    return None if centre_px is None else centre_px + (gap if centre_px > 0.5 * (size - 1) else 0)


def _widened(counts: Counts, axis: int, gap: int) -> Counts:
    """``counts`` (frames, slow, fast) with the two middle lines of ``axis`` spread over 1 + gap / 2 lines each."""
    size, width = counts.shape[axis], 1 + gap // 2
    middle = size // 2
    lines = np.moveaxis(counts, axis, 1)
    brightness = [float(np.median(lines[:, at].sum(axis=0, dtype=np.float64))) for at in range(middle - 6, middle + 6)]
    beside = float(np.mean(brightness[:3] + brightness[-3:]))
    wide = np.moveaxis(lines[:, _sources(size, gap)], 1, axis)
    if 0.5 * (brightness[5] + brightness[6]) > ALL_COUNTS * beside:
        for source, first in ((middle - 1, middle - 1), (middle, middle - 1 + width)):
            whole, rest = np.divmod(lines[:, source], np.uint32(width))
            for step in range(width):
                np.moveaxis(wide, axis, 1)[:, first + step] = whole + (rest > step)
    return np.ascontiguousarray(wide)
