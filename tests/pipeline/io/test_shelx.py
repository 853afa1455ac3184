"""HKLF 4: what is written comes back, large and negative numbers included."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.io.shelx import parse_shelx, shelx_text
from twin.files.errors import InputError


def test_round_trip() -> None:
    hkl = np.array([[1, -2, 3], [-10, 0, 12], [0, 0, 4], [5, 5, -5]])
    intensity = np.array([12.34, -7.5, 99998.0, 0.01])
    text = shelx_text(
        hkl=hkl, intensity=intensity, sigma=np.array([1.0, 2.0, 30.0, 0.5]), batch=np.array([1, 2, 3, 40])
    )
    assert all(len(line) == 32 for line in text.splitlines())
    back = parse_shelx(text)
    assert np.array_equal(back.hkl, hkl)
    assert np.allclose(back.intensity, intensity, atol=0.6)
    assert np.array_equal(back.batch, [1, 2, 3, 40])


def test_large_intensities_are_scaled_together() -> None:
    intensity = np.array([2.5e8, 1.25e8, -1e6])
    text = shelx_text(hkl=np.eye(3, dtype=int), intensity=intensity, sigma=np.array([1e5, 1e5, 1e5]))
    back = parse_shelx(text)
    assert np.allclose(back.intensity / back.intensity[0], intensity / intensity[0], atol=1e-4)
    assert np.all(back.sigma > 0)


@pytest.mark.parametrize(
    "text", ["", "   0   0   0    0.00    0.00   0\n", "hello\n", "   1   0   0     nan    1.00   1\n"]
)
def test_bad_files_end_in_a_sentence(text) -> None:
    with pytest.raises(InputError):
        parse_shelx(text)
