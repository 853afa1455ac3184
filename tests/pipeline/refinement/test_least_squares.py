"""The engine on problems with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.refinement.figures import figures_of_merit, intensity_weights, optimal_scale
from pipeline.refinement.least_squares import Control, Evaluation, covariance_of, minimise


def _problem(x: np.ndarray, y: np.ndarray, weights: np.ndarray):  # type: ignore[no-untyped-def]
    """y = p0 exp(−p1 x)."""

    def evaluate(p: np.ndarray, derivatives: bool) -> Evaluation:
        model = p[0] * np.exp(-p[1] * x)
        residual = y - model
        jacobian = np.stack([np.exp(-p[1] * x), -x * model])
        return Evaluation(
            chi2=float((weights * residual**2).sum()),
            gradient=jacobian @ (weights * residual),
            normal=(jacobian * weights) @ jacobian.T,
        )

    return evaluate


def test_exact_data_return_the_exact_answer_from_afar() -> None:
    x = np.linspace(0, 3, 40)
    fit = minimise(
        start=[1.0, 4.0],
        max_shift=[10.0, 1.0],
        evaluate=_problem(x, 7.0 * np.exp(-1.3 * x), np.ones(40)),
        observations=40,
        names=("a", "b"),
    )
    np.testing.assert_allclose(fit.values, [7.0, 1.3], rtol=1e-9)
    assert fit.converged
    assert all(later <= earlier for earlier, later in zip(fit.history, fit.history[1:], strict=False))


def test_standard_uncertainties_are_the_scatter_of_repeated_experiments() -> None:
    rng, x = np.random.default_rng(2), np.linspace(0, 3, 60)
    pulls = []
    for _ in range(200):
        y = 7.0 * np.exp(-1.3 * x) + 0.2 * rng.standard_normal(60)
        fit = minimise(start=[5.0, 1.0], evaluate=_problem(x, y, np.full(60, 25.0)), observations=60, names=("a", "b"))
        pulls.append((fit.values - [7.0, 1.3]) / np.sqrt(np.diag(fit.covariance)))
    mean_square = np.mean(np.square(pulls), axis=0)
    assert np.all((mean_square > 0.75) & (mean_square < 1.3)), mean_square


def test_undetermined_parameters_are_named_not_guessed() -> None:
    normal = np.array([[2.0, 2.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
    covariance, lost = covariance_of(normal)
    assert lost == (0, 1)
    assert np.isinf(covariance[0, 0])
    assert covariance[2, 2] == pytest.approx(1.0)


def test_a_gradient_that_lies_is_reported() -> None:
    def evaluate(p: np.ndarray, derivatives: bool) -> Evaluation:
        return Evaluation(chi2=float(p[0] ** 2 + 1), gradient=np.array([1.0]), normal=np.array([[1.0]]))

    fit = minimise(start=[0.5], evaluate=evaluate, observations=10, names=("a",), control=Control(attempts=3))
    assert not fit.converged
    assert "no step lowers" in fit.verdict


def test_figures_of_merit_by_hand() -> None:
    merit = figures_of_merit(
        intensity=[100.0, 4.0, 1.0], sigma=[1.0, 1.0, 1.0], calculated=[81.0, 9.0, 1.0], parameters=0, instability=0.0
    )
    assert merit.observed.tolist() == [True, True, False]
    assert merit.r_obs_percent == pytest.approx(100 * 2 / 12)
    assert merit.r_all_percent == pytest.approx(100 * 2 / 13)
    weights = np.array([400.0, 16.0, 4.0])
    assert merit.wr_all_percent == pytest.approx(100 * np.sqrt((400 + 16) / (weights @ [100, 4, 1])))
    assert merit.gof_obs == pytest.approx(np.sqrt((400 + 16) / 2))


def test_weights_and_scale() -> None:
    np.testing.assert_allclose(intensity_weights(intensity=[100.0, -5.0], sigma=[1.0, 2.0]), [1 / (1 + 4), 1 / 4])
    assert optimal_scale(intensity=[2.0, 4.0], calculated=[1.0, 2.0], weights=[1.0, 3.0]) == pytest.approx(2.0)
    assert optimal_scale(intensity=[-2.0, -4.0], calculated=[1.0, 2.0], weights=[1.0, 3.0]) == 0.0
