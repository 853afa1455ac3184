"""Statistics of counting: means, correlations, dead time, saturation, masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from twin.model.instrument import Detector
from twin.response.clusters import cluster_patterns, cluster_variance_px2, excess_variance, mean_size
from twin.response.detector import bad_pixel_mask, detect, detector_state, ideal_state, pile_up, saturated
from twin.specimen.streams import stream

PLAIN = Detector(name="plain", fast_px=96, slow_px=64, pixel_size_um=55.0, counter_max=2**31 - 1)
REAL = replace(PLAIN, fast_px=256, slow_px=256, counts_per_electron=3.0, psf_fwhm_px=1.6, quantum_efficiency=0.92)


def counts(detector: Detector, electrons: np.ndarray, seed: int = 1, exposure_s: float = 1.0) -> np.ndarray:
    return detect(
        electrons=electrons,
        detector=detector,
        state=ideal_state(detector),
        exposure_s=exposure_s,
        generator=stream(seed, "shot/0"),
    )


@pytest.mark.parametrize("mean", [0.4, 1.0, 1.5, 2.1, 3.0, 4.6, 7.2])
def test_clusters_have_the_stated_mean_size_and_no_preferred_side(mean: float) -> None:
    patterns = cluster_patterns(mean)
    assert mean_size(patterns) == pytest.approx(mean, rel=1e-12)
    centre = sum(p.probability * p.offsets.sum(axis=0) for p in patterns)
    np.testing.assert_allclose(centre, 0.0, atol=1e-12)
    assert sum(p.probability for p in patterns) <= 1.0 + 1e-12


def test_plain_detector_counts_are_poisson() -> None:
    drawn = counts(PLAIN, np.full((64, 96), 7.0)).astype(float)
    error = np.sqrt(7.0 / drawn.size)
    assert drawn.mean() == pytest.approx(7.0, abs=5 * error)
    assert drawn.var() == pytest.approx(7.0, rel=0.1)


def test_counts_are_electrons_times_efficiency_times_cluster_size() -> None:
    drawn = counts(REAL, np.full((256, 256), 5.0))[8:-8, 8:-8]
    expected = 5.0 * 0.92 * 3.0
    assert drawn.mean() == pytest.approx(expected, rel=5 * np.sqrt(3.2 / (expected * drawn.size)))


def test_sums_vary_more_than_counting_alone() -> None:
    """⟨m²⟩/⟨m⟩ on sums over 16 × 16 pixels; single pixels stay close to Poisson."""
    drawn = counts(REAL, np.full((256, 256), 5.0)).astype(float)
    blocks = drawn.reshape(16, 16, 16, 16).sum(axis=(1, 3))
    expected = excess_variance(cluster_patterns(3.0))
    ratio = blocks.var(ddof=1) / blocks.mean()
    assert ratio == pytest.approx(expected, rel=0.25)
    assert ratio > 2.0
    assert drawn.var() / drawn.mean() == pytest.approx(1.0, abs=0.05)


def test_point_source_has_the_width_of_the_psf() -> None:
    image = np.zeros((256, 256))
    image[128, 128] = 2e6
    drawn = counts(REAL, image).astype(float)
    offset = np.arange(256) - 128.0
    variance = (drawn.sum(axis=0) @ offset**2) / drawn.sum()
    assert 2.3548 * np.sqrt(variance) == pytest.approx(1.6, abs=0.02)
    assert cluster_variance_px2(cluster_patterns(3.0)) < variance


def test_dead_time_lowers_high_rates_only() -> None:
    np.testing.assert_allclose(pile_up(hits=[1.0], dead_time_ns=120.0, exposure_s=1.0), [1.0], rtol=1e-6)
    np.testing.assert_allclose(pile_up(hits=[1e7], dead_time_ns=100.0, exposure_s=1.0), [5e6])
    assert pile_up(hits=[1e12], dead_time_ns=100.0, exposure_s=1.0)[0] < 1.0 / 100e-9


def test_counter_saturates_and_says_so() -> None:
    detector = replace(PLAIN, counter_max=11800)
    image = np.full((64, 96), 3.0)
    image[32, 48] = 1e6
    drawn = counts(detector, image)
    assert drawn[32, 48] == 11800
    assert np.flatnonzero(saturated(counts=drawn, detector=detector)).tolist() == [32 * 96 + 48]


def test_dead_pixels_and_gaps_are_in_the_mask_and_read_zero() -> None:
    detector = replace(PLAIN, dead_pixel_fraction=0.02, gap_px=4, flat_field_sd=0.05)
    state = detector_state(detector=detector, generator=stream(3, "detector"))
    mask = bad_pixel_mask(state)
    np.testing.assert_array_equal(mask, state.bad)
    assert mask[30:34].all()
    assert mask[:, 46:50].all()
    assert 0.01 < mask[:30, :46].mean() < 0.03
    drawn = detect(
        electrons=np.full((64, 96), 50.0), detector=detector, state=state, exposure_s=1.0, generator=stream(3, "shot/0")
    )
    assert np.all(drawn[mask] == 0)
    assert np.all(drawn[~mask] > 0)


def test_flat_field_error_shows_in_the_mean_over_many_frames() -> None:
    detector = replace(PLAIN, flat_field_sd=0.1)
    state = detector_state(detector=detector, generator=stream(4, "detector"))
    drawn = detect(
        electrons=np.full((64, 96), 1e6), detector=detector, state=state, exposure_s=1.0, generator=stream(4, "shot/0")
    )
    assert np.corrcoef(drawn.ravel(), state.flat_field.ravel())[0, 1] > 0.999


def test_same_stream_same_frame_other_stream_other_frame() -> None:
    image = np.full((256, 256), 2.0)
    np.testing.assert_array_equal(counts(REAL, image, seed=5), counts(REAL, image, seed=5))
    assert np.any(counts(REAL, image, seed=5) != counts(REAL, image, seed=6))


def test_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        counts(PLAIN, np.zeros((96, 64)))
