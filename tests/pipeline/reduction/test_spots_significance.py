"""How many spots noise makes, and what sums of frames add."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.reduction.peaks import Found, deviance_z, expected_false, find_peaks, join_found, purest_threshold
from pipeline.reduction.virtual_spots import join_windows
from pipeline.types import Peaks


def _noise_maxima(level: float, threshold: float, frames: int = 12) -> tuple[int, int]:
    rng = np.random.default_rng(7)
    bad = np.zeros((256, 256), dtype=bool)
    background = np.full((256, 256), level, dtype=np.float32)
    lists = [
        find_peaks(
            image=rng.poisson(level, (256, 256)),
            background=background,
            bad_pixels=bad,
            frame=f,
            gain=1.0,
            threshold=threshold,
        )
        for f in range(frames)
    ]
    return len(join_found(lists).z), frames * (256 - 10) ** 2


def test_noise_makes_no_more_spots_than_a_normal_field_has_maxima() -> None:
    """Counts of 0.8 a pixel are far from normal; the deviance brings them there: as many at every level, within the
    scatter of such counts, and never more than expected (maxima that lean on a neighbour are dropped)."""
    numbers = {}
    for level in (0.8, 3.0, 40.0):
        numbers[level], pixels = _noise_maxima(level, 3.5)
        assert numbers[level] < expected_false(z=3.5, pixels=pixels)
    assert abs(numbers[0.8] - numbers[40.0]) < 3.0 * np.sqrt(numbers[0.8] + numbers[40.0])
    assert numbers[40.0] > 0.3 * expected_false(z=3.5, pixels=pixels)


def test_deviance_is_the_poisson_tail() -> None:
    from scipy.stats import norm, poisson

    tail = 0.5 * (poisson.sf(30, 12.6) + poisson.sf(29, 12.6))
    assert deviance_z(30.0, 12.6) == pytest.approx(norm.isf(tail), abs=0.05)


def test_threshold_rises_until_noise_is_rare() -> None:
    rng = np.random.default_rng(1)
    noise = 5.0 + rng.exponential(0.2, size=75)
    few = np.concatenate([noise, np.full(100, 9.0)])
    many = np.concatenate([noise, np.full(10000, 9.0)])
    assert purest_threshold(z=few, pixels=1.25e8) > 5.1
    assert purest_threshold(z=many, pixels=1.25e8) == 5.0


def _found(frame: list[int], x: list[float], z: list[float]) -> Found:
    n = len(frame)
    peaks = Peaks(
        frame=np.array(frame),
        fast_px=np.array(x),
        slow_px=np.full(n, 50.0),
        intensity=np.full(n, 10.0),
        sigma=np.full(n, 1.0),
    )
    return Found(peaks=peaks, z=np.array(z))


def test_a_reflection_seen_alone_and_in_a_sum_is_one_spot() -> None:
    single = _found([10, 11, 30], [80.0, 80.3, 80.0], [5.0, 6.0, 5.5])
    sums = _found([10, 60], [80.1, 80.0], [8.0, 5.2])
    both = join_windows(single=single, sums=sums)
    assert both.z.tolist() == [8.0, 5.5, 5.2]
    assert both.peaks.frame.tolist() == [10, 30, 60]
