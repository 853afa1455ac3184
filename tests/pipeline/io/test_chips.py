"""Wide pixels between the chips of a quad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.io.series.build import build_dataset
from pipeline.io.series.chips import with_chip_gap
from pipeline.io.series.nominal import Nominal, RawSeries
from twin.files.errors import InputError

SOURCE = Path("frames.h5")


def fine_frame(rng: np.random.Generator, size: int) -> np.ndarray:
    """A frame as pixels of one size would have seen it."""
    return rng.poisson(40.0, (1, size, size)).astype(np.uint32)


def as_wide(fine: np.ndarray, width: int) -> np.ndarray:
    """The same electrons on a quad whose border pixels are ``width`` px wide and hold all that fell on them."""
    for axis in (1, 2):
        size = fine.shape[axis]
        edges = np.r_[np.arange(size // 2 - width + 1), np.arange(size // 2, size // 2 + 1), size // 2 + width]
        edges = np.unique(np.r_[edges, np.arange(size // 2 + width, size)])
        fine = np.add.reduceat(fine, edges, axis=axis)
    return np.ascontiguousarray(fine, dtype=np.uint32)


@pytest.mark.parametrize("gap", [2, 4])
def test_no_electron_is_lost_or_made_where_wide_pixels_hold_all(gap: int) -> None:
    fine = fine_frame(np.random.default_rng(1), 64)
    wide = as_wide(fine, 1 + gap // 2)
    assert wide.shape == (1, 64 - gap, 64 - gap)
    raw, _ = with_chip_gap(RawSeries(counts=wide, found=Nominal(), source=SOURCE), Nominal(chip_gap_px=gap))
    assert raw.counts.shape == fine.shape
    assert raw.counts.sum() == fine.sum()
    away = np.abs(np.arange(64) - 31.5) > gap
    assert np.array_equal(raw.counts[:, away][:, :, away], fine[:, away][:, :, away])
    spread = np.abs(raw.counts.astype(float) - 40.0).max()
    assert spread < 6.0 * np.sqrt(40.0)  # the wide pixels are as bright as the others


def test_counts_already_divided_by_the_width_are_kept() -> None:
    flat = np.full((2, 32, 32), 7, dtype=np.uint32)
    raw, _ = with_chip_gap(RawSeries(counts=flat, found=Nominal(), source=SOURCE), Nominal(chip_gap_px=2))
    assert np.all(raw.counts == 7)
    assert raw.counts.shape == (2, 34, 34)


def test_centre_and_bad_pixels_move_with_their_half() -> None:
    bad = np.zeros((32, 32), dtype=bool)
    bad[20, 3] = True
    raw = RawSeries(counts=np.ones((2, 32, 32), np.uint32), found=Nominal(), source=SOURCE, bad_pixels=bad)
    given = Nominal(
        wavelength_angstrom=0.025, camera_length_mm=400.0, pixel_size_um=55.0, tilt_axis_deg=0.0, alpha_start_deg=0.0,
        step_deg=1.0, centre_fast_px=10.0, centre_slow_px=20.0, chip_gap_px=2,
    )  # fmt: skip
    dataset = build_dataset(raw=raw, given=given)
    assert dataset.counts.shape == (2, 34, 34)
    assert np.argwhere(dataset.bad_pixels).tolist() == [[22, 3]]
    p = dataset.microscope.projection
    assert (p.centre_fast_px, p.centre_slow_px) == (10.0, 22.0)


@pytest.mark.parametrize(("shape", "gap"), [((1, 31, 32), 2), ((1, 32, 32), 3)])
def test_what_has_no_middle_is_refused(shape: tuple[int, int, int], gap: int) -> None:
    raw = RawSeries(counts=np.zeros(shape, np.uint32), found=Nominal(), source=SOURCE)
    with pytest.raises(InputError, match="must be even"):
        with_chip_gap(raw, Nominal(chip_gap_px=gap))
