"""Figures of merit against what they are defined to be."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.reduction.statistics import cc_half, r_int


def _data(noise: float, copies: int, seed: int = 1):
    """Equivalents under -1: h and -h only, ``copies`` of each as separate rows of slightly different index sign."""
    rng = np.random.default_rng(seed)
    unique = np.array([[a, b, c] for a in range(1, 9) for b in range(-6, 7) for c in range(-6, 7)])
    truth = rng.exponential(size=len(unique))
    hkl = np.concatenate([unique if n % 2 else -unique for n in range(copies)])
    return hkl, np.tile(truth, copies) + noise * rng.normal(size=len(hkl)), truth


@pytest.mark.parametrize("noise", [0.1, 0.7, 2.0])
def test_cc_half_is_the_correlation_of_halves(noise) -> None:
    hkl, intensity, truth = _data(noise, 8)
    rows = intensity.reshape(8, len(truth))
    drawn = 100 * np.corrcoef(rows[:4].mean(axis=0), rows[4:].mean(axis=0))[0, 1]
    assert cc_half(hkl=hkl, intensity=intensity, hall="-P 1") == pytest.approx(drawn, abs=4.0)
    expected = 100 * np.var(truth) / (np.var(truth) + noise**2 / 4)
    assert cc_half(hkl=hkl, intensity=intensity, hall="-P 1") == pytest.approx(expected, abs=4.0)


def test_perfect_data() -> None:
    hkl, intensity, _ = _data(0.0, 4)
    assert cc_half(hkl=hkl, intensity=intensity, hall="-P 1") == pytest.approx(100.0)
    value, number = r_int(hkl=hkl, intensity=intensity, sigma=np.ones(len(intensity)), hall="-P 1")
    assert value == pytest.approx(0.0, abs=1e-9)
    assert number == len(hkl)


def test_no_equivalents_no_figure() -> None:
    hkl = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
    assert np.isnan(cc_half(hkl=hkl, intensity=np.arange(4.0), hall="-P 1"))
    assert np.isnan(r_int(hkl=hkl, intensity=np.arange(4.0), sigma=np.ones(4), hall="-P 1")[0])
