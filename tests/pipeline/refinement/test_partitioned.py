"""Steps from slopes alone, on sums of terms with known minima."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.refinement.partitioned import Descent, Ending, Terms, assembled, descend, learn

ENDING = Ending(max_cycles=60, joint_shift=1e-4, relative_chi2=0.0, rounding=1e-24, freedom=30)


def _exponentials(noise: float) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """y_e = exp(−p0 x) cos(a_e x) for five terms that share p0: residuals by (p0, a_e)."""
    rng, x = np.random.default_rng(4), np.linspace(0, 2, 8)
    truth = np.array([0.8, 1.0, 1.4, 1.9, 2.3, 2.6])
    columns = [np.array([0, 1 + e]) for e in range(5)]
    data = [np.exp(-truth[0] * x) * np.cos(truth[1 + e] * x) + noise * rng.standard_normal(8) for e in range(5)]
    return truth, columns, data


def _run(noise: float, start: np.ndarray, *, wrong: float = 1.0) -> tuple[np.ndarray, Descent]:
    truth, columns, data = _exponentials(noise)
    x = np.linspace(0, 2, 8)

    def term(p: np.ndarray, e: int) -> tuple[np.ndarray, np.ndarray]:
        damp, wave = np.exp(-p[0] * x), p[1 + e] * x
        return data[e] - damp * np.cos(wave), np.stack([-x * damp * np.cos(wave), -x * damp * np.sin(wave)])

    def evaluate(p: np.ndarray) -> Terms:
        pairs = [term(p, e) for e in range(5)]
        return Terms(chi2=np.array([r @ r for r, _ in pairs]), descents=tuple(j @ r for r, j in pairs))

    matrices = [wrong * term(start, e)[1] @ term(start, e)[1].T + 1e-9 * np.eye(2) for e in range(5)]
    found = descend(
        start=start, columns=columns, matrices=matrices, evaluate=evaluate, max_shift=np.full(6, 0.5), ending=ENDING
    )
    return truth, found


def test_exact_data_return_the_exact_answer() -> None:
    truth, found = _run(0.0, np.array([0.5, 0.9, 1.2, 1.7, 2.5, 2.4]))
    assert found.converged, found.why
    np.testing.assert_allclose(found.values, truth, atol=1e-9)
    assert all(b < a for a, b in zip(found.history, found.history[1:], strict=False))


@pytest.mark.parametrize("wrong", [0.2, 1.0, 5.0])
def test_the_minimum_does_not_depend_on_the_matrices_that_one_begins_with(wrong: float) -> None:
    """Large residuals, where Gauss and Newton's matrix is not that of second derivatives."""
    start = np.array([0.5, 0.9, 1.2, 1.7, 2.5, 2.4])
    _, reference = _run(0.3, start)
    _, found = _run(0.3, start, wrong=wrong)
    assert reference.converged
    assert found.converged
    np.testing.assert_allclose(found.values, reference.values, atol=1e-4)


def test_it_learns_the_matrix_of_a_quadratic() -> None:
    """BFGS along conjugate directions gives the matrix itself; with Powell's damping it stays positive."""
    rng = np.random.default_rng(1)
    a = rng.normal(size=(4, 4))
    target = a @ a.T + np.eye(4)
    matrix = np.eye(4)
    _, directions = np.linalg.eigh(target)
    for d in directions.T:
        matrix = learn(matrix, d, target @ d, least=0.0)
    np.testing.assert_allclose(matrix, target, rtol=1e-10)
    bent = learn(matrix, directions[0], -5.0 * directions[0], least=0.0)
    assert np.linalg.eigvalsh(bent).min() > 0
    assert learn(matrix, 1e-9 * directions[0], directions[0], least=1e-6) is matrix


def test_terms_are_put_together_by_their_columns() -> None:
    columns = [np.array([0, 1]), np.array([0, 2])]
    np.testing.assert_array_equal(assembled([np.array([1.0, 2.0]), np.array([3.0, 4.0])], columns, 3), [4.0, 2.0, 4.0])
    both = assembled([np.ones((2, 2)), 2 * np.ones((2, 2))], columns, 3)
    np.testing.assert_array_equal(both, [[3, 1, 2], [1, 1, 0], [2, 0, 2]])


def test_a_slope_that_lies_is_reported() -> None:
    def evaluate(p: np.ndarray) -> Terms:
        return Terms(chi2=p**2 + 1.0, descents=(np.array([1.0]),))

    found = descend(
        start=np.array([0.5]), columns=[np.array([0])], matrices=[np.eye(1)], evaluate=evaluate,
        max_shift=np.array([1.0]), ending=ENDING,
    )  # fmt: skip
    assert not found.converged
    assert "no further step" in found.why
