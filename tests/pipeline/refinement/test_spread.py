"""The spread of orientations is found again from turns that were drawn with it and measured with errors."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.refinement.spread import turn_spread_deg


def drawn(spread_deg: float, error_deg: float, *, frames: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(measured turns (F, 2), precisions (F, 2, 2)), errors unlike along two axes of any direction."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0.0, np.pi, frames)
    axes = np.stack([np.stack([np.cos(angle), -np.sin(angle)], 1), np.stack([np.sin(angle), np.cos(angle)], 1)], 1)
    sigma = error_deg * np.stack([np.ones(frames), rng.uniform(1.0, 3.0, frames)], axis=1)
    precision = (axes / sigma[:, None, :] ** 2) @ np.swapaxes(axes, 1, 2)
    true = rng.normal(0.0, spread_deg, (frames, 2))
    return true + np.einsum("fij,fj->fi", axes, rng.normal(size=(frames, 2)) * sigma), precision


def spread(seen: np.ndarray, precision: np.ndarray, *, start_deg: float = 0.2) -> float:
    return turn_spread_deg(information=(precision @ seen[..., None])[..., 0], precision=precision, start_deg=start_deg)


@pytest.mark.parametrize(("true", "error"), [(0.2, 0.02), (0.1, 0.1), (0.05, 0.01)])
@pytest.mark.parametrize("start_deg", [0.03, 0.2, 2.0])
def test_the_spread_comes_back_whatever_it_starts_from(true: float, error: float, start_deg: float) -> None:
    assert spread(*drawn(true, error, frames=400, seed=4), start_deg=start_deg) == pytest.approx(true, rel=0.12)


def test_turns_no_larger_than_their_errors_have_hardly_a_spread() -> None:
    assert spread(*drawn(0.0, 0.1, frames=100, seed=2)) < 0.04


def test_it_is_the_most_probable_one() -> None:
    """Against the marginal likelihood on a grid."""
    seen, precision = drawn(0.1, 0.05, frames=30, seed=7)
    grid = np.linspace(0.05, 0.2, 601)

    def likelihood(sigma: float) -> float:
        covariance = np.linalg.inv(precision) + sigma**2 * np.eye(2)
        weighted = np.linalg.solve(covariance, seen[..., None])[..., 0]
        return float(-0.5 * np.sum(seen * weighted) - 0.5 * np.linalg.slogdet(covariance)[1].sum())

    best = grid[int(np.argmax([likelihood(s) for s in grid]))]
    assert spread(seen, precision) == pytest.approx(best, abs=5e-4)


def test_a_frame_that_says_nothing_changes_nothing() -> None:
    seen, precision = drawn(0.1, 0.05, frames=30, seed=7)
    more = np.concatenate([precision, np.zeros((1, 2, 2))])
    assert spread(np.concatenate([seen, [[5.0, 5.0]]]), more) == pytest.approx(spread(seen, precision), rel=1e-3)
