"""The spread of orientations is found again from turns that were drawn with it and measured with errors."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.refinement.spread import turn_spread_deg


def drawn(spread_deg: float, error_deg: float, *, held_by_deg: float, frames: int, seed: int) -> tuple[np.ndarray, ...]:
    """(turns as a refinement with a prior finds them (F, 2), precisions (F, 2, 2)), errors unlike along both axes."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0.0, np.pi, frames)
    axes = np.stack([np.stack([np.cos(angle), -np.sin(angle)], 1), np.stack([np.sin(angle), np.cos(angle)], 1)], 1)
    sigma = error_deg * np.stack([np.ones(frames), rng.uniform(1.0, 3.0, frames)], axis=1)
    precision = (axes / sigma[:, None, :] ** 2) @ np.swapaxes(axes, 1, 2)
    true = rng.normal(0.0, spread_deg, (frames, 2))
    seen = true + np.einsum("fij,fj->fi", axes, rng.normal(size=(frames, 2)) * sigma)
    pulled = np.linalg.solve(precision + np.eye(2) / held_by_deg**2, (precision @ seen[..., None]))[..., 0]
    return pulled, precision


@pytest.mark.parametrize(("spread", "error"), [(0.2, 0.02), (0.1, 0.1), (0.05, 0.01)])
@pytest.mark.parametrize("held_by", [0.03, 0.2, 2.0])
def test_the_spread_comes_back_whatever_held_the_frames_before(spread: float, error: float, held_by: float) -> None:
    turned, precision = drawn(spread, error, held_by_deg=held_by, frames=400, seed=4)
    found = turn_spread_deg(turned_deg=turned, precision=precision, held_by_deg=held_by)
    assert found == pytest.approx(spread, rel=0.12)


def test_turns_no_larger_than_their_errors_have_hardly_a_spread() -> None:
    turned, precision = drawn(0.0, 0.1, held_by_deg=0.2, frames=100, seed=2)
    assert turn_spread_deg(turned_deg=turned, precision=precision, held_by_deg=0.2) < 0.04


def test_it_is_the_most_probable_one() -> None:
    """Against the marginal likelihood on a grid."""
    turned, precision = drawn(0.1, 0.05, held_by_deg=0.2, frames=30, seed=7)
    given = np.linalg.solve(precision, (precision + np.eye(2) / 0.2**2) @ turned[..., None])[..., 0]
    grid = np.linspace(0.05, 0.2, 601)

    def likelihood(sigma: float) -> float:
        covariance = np.linalg.inv(precision) + sigma**2 * np.eye(2)
        weighted = np.linalg.solve(covariance, given[..., None])[..., 0]
        return float(-0.5 * np.sum(given * weighted) - 0.5 * np.linalg.slogdet(covariance)[1].sum())

    best = grid[int(np.argmax([likelihood(s) for s in grid]))]
    assert turn_spread_deg(turned_deg=turned, precision=precision, held_by_deg=0.2) == pytest.approx(best, abs=5e-4)


def test_a_frame_that_says_nothing_changes_nothing() -> None:
    turned, precision = drawn(0.1, 0.05, held_by_deg=0.2, frames=30, seed=7)
    more = np.concatenate([precision, np.zeros((1, 2, 2))])
    with_it = turn_spread_deg(turned_deg=np.concatenate([turned, [[0.0, 0.0]]]), precision=more, held_by_deg=0.2)
    alone = turn_spread_deg(turned_deg=turned, precision=precision, held_by_deg=0.2)
    assert with_it == pytest.approx(alone, rel=1e-3)
