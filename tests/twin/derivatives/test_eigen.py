"""Derivatives by eigendecomposition against the recurrence and against differences, degenerate spectra included."""

from __future__ import annotations

import numpy as np
import pytest

from twin.derivatives.eigen import eigen_intensities, eigen_is_cheaper
from twin.derivatives.intensities import intensities_with_derivatives

K = 39.87


def _problem(*, real, beams=24, steps=7, parameters=3, thickness=900.0, nodes=9, seed=3):
    rng = np.random.default_rng(seed)

    def hermitian():
        m = rng.normal(size=(beams, beams)) * np.exp(-3 * rng.random((beams, beams)))
        m = m if real else m + 1j * rng.normal(size=m.shape) * np.abs(m)
        return 0.003 * (m + m.conj().T)

    s = rng.uniform(-0.02, 0.02, beams)[:, None] + 0.03 * rng.uniform(-1, 1, beams)[:, None] * np.linspace(-1, 1, steps)
    s[0] = 0.0
    turns = 0.01 * rng.normal(size=(2, beams, steps))
    turns[:, 0] = 0.0
    x, w = np.polynomial.legendre.leggauss(nodes)
    return {
        "potential": hermitian(),
        "potential_derivatives": np.array([hermitian() for _ in range(parameters)]),
        "excitation_error": s,
        "excitation_derivatives": turns,
        "wavenumber_per_angstrom": K,
        "thickness_angstrom": 0.5 * thickness * (x + 1.0),
        "thickness_weights": 0.5 * w,
        "azimuth_weights": np.full(steps, 1.0 / steps),
        "rows": np.arange(1, 12),
        "thickness_scale_derivative": True,
    }


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("parameters", [3, 20])
def test_agrees_with_the_recurrence(real, masked, parameters):
    """Parameters one by one where they are fewer than reflections, reflections one by one where they are not."""
    problem = _problem(real=real, parameters=parameters)
    active = np.abs(problem["excitation_error"]) < 0.02 if masked else None
    intensity, rows = intensities_with_derivatives(**problem, active=active)
    by_eigen, by_eigen_rows = eigen_intensities(**problem, active=active)
    assert np.abs(by_eigen - intensity).max() < 1e-11
    for ours, theirs in zip(by_eigen_rows, rows, strict=True):
        assert np.abs(ours - theirs).max() < 1e-7 * np.abs(theirs).max()


@pytest.mark.parametrize("real", [True, False])
def test_single_precision_keeps_derivatives_to_a_few_in_1e5(real):
    problem = _problem(real=real)
    exact, single = eigen_intensities(**problem), eigen_intensities(**problem, dtype=np.float32)
    assert np.abs(single[0] - exact[0]).max() < 1e-6
    for ours, theirs in zip(single[1], exact[1], strict=True):
        assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


def test_equal_eigenvalues_need_no_eigenvector_derivatives():
    """Two independent pairs of beams that are copies of each other: every eigenvalue comes twice."""
    problem = _problem(real=False, parameters=1, steps=1, beams=4)
    pair = np.array([[0.0, 0.002 + 0.001j], [0.002 - 0.001j, 0.0]])
    problem["potential"] = np.kron(np.eye(2), pair)
    problem["excitation_error"] = np.array([[0.0], [0.001], [0.0], [0.001]])
    problem["excitation_derivatives"] = np.zeros((0, 4, 1))
    change = np.zeros((4, 4), dtype=complex)
    change[0, 3], change[3, 0] = 0.3 + 0.2j, 0.3 - 0.2j
    change[0, 1], change[1, 0] = 0.5j, -0.5j
    problem["potential_derivatives"] = change[None]
    problem["rows"] = np.array([1, 3])
    _, rows = eigen_intensities(**problem)
    step = 1e-6
    potentials = [problem["potential"] + sign * step * change for sign in (1, -1)]
    plus, minus = (eigen_intensities(**{**problem, "potential": u})[0] for u in potentials)
    difference = (plus - minus) / (2 * step)
    assert abs(difference[0]) > 0.1
    assert np.abs(rows[0] - difference).max() < 1e-5 * np.abs(difference).max()


def test_thick_crystals_with_few_beams_go_by_eigendecomposition():
    few, many = np.full((40, 42), 0.01), np.full((170, 64), 0.01)
    few[1::2], many[1::2] = -0.01, -0.01

    def cheaper(s, thickness):
        return eigen_is_cheaper(
            excitation_error=s, active=None, rows=np.arange(1, 30), thickness_angstrom=thickness, parameters=14, turns=2
        )

    assert cheaper(few, 1500.0)
    assert not cheaper(many, 100.0)
