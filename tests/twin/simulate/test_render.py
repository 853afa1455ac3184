"""Spots on pixels: sub-pixel positions move the centroid, electrons are kept, box sums equal direct ones."""

from __future__ import annotations

import numpy as np
import pytest

from twin.simulate.render import add_spots

OVERSAMPLING = 4


def templates() -> np.ndarray:
    generator = np.random.default_rng(2)
    x = (np.arange(32) - 16.0) / 6.0
    round_spot = np.exp(-0.5 * (x[None, :] ** 2 + x[:, None] ** 2))
    return np.stack([round_spot, round_spot * (1.0 + 0.3 * generator.random((32, 32)))])


def direct(shape: np.ndarray, position: tuple[float, float], size: int) -> np.ndarray:
    """Every fine step shared out by its overlap with the pixels."""
    image = np.zeros((size, size))
    n = shape.shape[0]
    edges = [p + (np.arange(n + 1) - n // 2 - 0.5) / OVERSAMPLING for p in position]
    pixels = np.arange(size + 1) - 0.5
    low = [np.maximum(e[:-1, None], pixels[None, :-1]) for e in edges]
    high = [np.minimum(e[1:, None], pixels[None, 1:]) for e in edges]
    share = [np.maximum(h - a, 0.0) * OVERSAMPLING for h, a in zip(high, low, strict=True)]
    image += share[1].T @ shape @ share[0]
    return image


@pytest.mark.parametrize("position", [(10.0, 12.0), (10.37, 11.81), (9.875, 14.125), (0.3, 22.9)])
def test_box_sums_equal_direct_sums(position: tuple[float, float]) -> None:
    shapes, mixture = templates(), np.array([[0.7, 0.3]])
    image = np.zeros((24, 24), dtype=np.float32)
    add_spots(
        image,
        coefficients=mixture,
        templates=shapes,
        intensity=np.array([50.0]),
        position_px=np.array([position]),
        oversampling=OVERSAMPLING,
    )
    mixed = np.tensordot(mixture[0], shapes, axes=1)
    expected = direct(mixed, position, 24) * 50.0 / mixed.sum()
    np.testing.assert_allclose(image, expected, atol=2e-6 * expected.max())


def test_faint_spots_share_their_mean_shape_and_keep_their_electrons() -> None:
    shapes = templates()
    image = np.zeros((48, 48), dtype=np.float32)
    add_spots(
        image,
        coefficients=np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]),
        templates=shapes,
        intensity=np.array([1.0, 2.0, 400.0]),
        position_px=np.array([[10.2, 10.4], [30.7, 12.1], [20.3, 33.3]]),
        oversampling=OVERSAMPLING,
    )
    assert image[:20, :20].sum() == pytest.approx(1.0, rel=1e-5)
    assert image[:24, 22:].sum() == pytest.approx(2.0, rel=1e-5)
    assert image.sum() == pytest.approx(403.0, rel=1e-5)
