"""Derivatives of intensities against central differences, in 64 bit."""

from __future__ import annotations

import numpy as np
import pytest

from twin.derivatives.intensities import intensities_with_derivatives

K = 39.87
STEP = 3e-4


def hermitian(rng: np.random.Generator, n: int, *, real: bool) -> np.ndarray:
    a = rng.normal(size=(n, n)) * 0.02
    b = 0.0 if real else 1j * rng.normal(size=(n, n)) * 0.02
    m = a + b
    return np.asarray((m + m.conj().T) / 2)


def fourth_order(f, h: float) -> np.ndarray:  # type: ignore[no-untyped-def]
    return np.asarray((8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h))


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("absorbing", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_derivatives_match_central_differences(real: bool, absorbing: bool, masked: bool) -> None:
    rng = np.random.default_rng(11)
    n, orientations = 40, 6
    u = hermitian(rng, n, real=real)
    if absorbing:
        c = rng.normal(size=(n, n)) * 0.02
        u = u + 1j * c @ c.T
    du = np.stack([hermitian(rng, n, real=real) for _ in range(2)])
    s = rng.uniform(-0.02, 0.02, size=(n, orientations))
    ds = rng.normal(size=(2, n, orientations)) * 0.01
    s[0], ds[:, 0] = 0.0, 0.0
    nodes, weights = np.array([40.0, 110.0, 170.0]), np.array([0.2, 0.5, 0.3])
    common = {
        "wavenumber_per_angstrom": K,
        "azimuth_weights": rng.uniform(size=orientations),
        "rows": np.arange(n),
        "active": (rng.uniform(size=s.shape) < 0.7) if masked else None,
        "tolerance": 1e-13,
        "normal_cosine_ratio": np.where(np.arange(n) == 0, 0.0, rng.uniform(-0.03, 0.03, size=n)) if masked else None,
        "normal_wavenumber_per_angstrom": K * rng.uniform(0.95, 1.0, size=orientations) if masked else None,
    }

    def intensity(u: np.ndarray, s: np.ndarray, nodes: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return intensities_with_derivatives(
            potential=u, potential_derivatives=np.zeros((0, n, n)), excitation_error=s,
            excitation_derivatives=np.zeros((0, n)), thickness_angstrom=nodes, thickness_weights=weights, **common,
        )[0]  # fmt: skip

    change = np.array([1.0, -2.0, 0.5])
    value, derivative = intensities_with_derivatives(
        potential=u, potential_derivatives=du, excitation_error=s, excitation_derivatives=ds, thickness_angstrom=nodes,
        thickness_weights=weights, weight_derivative=change, thickness_scale_derivative=True, **common,
    )  # fmt: skip
    np.testing.assert_allclose(value, intensity(u, s, nodes, weights), atol=1e-14)
    expected = [fourth_order(lambda h, d=d: intensity(u + h * d, s, nodes, weights), STEP) for d in du]
    expected += [fourth_order(lambda h, d=d: intensity(u, s + h * d, nodes, weights), STEP) for d in ds]
    expected.append(fourth_order(lambda h: intensity(u, s, nodes, weights + h * change), STEP))
    expected.append(fourth_order(lambda h: intensity(u, s, nodes * (1 + h), weights), STEP))
    for found, reference in zip(derivative, expected, strict=True):
        assert np.abs(found - reference).max() <= 1e-6 * np.abs(reference).max()


def test_a_derivative_that_breaks_the_centre_of_symmetry_is_allowed() -> None:
    """A real potential may have a complex derivative; to first order it must still agree with differences."""
    rng = np.random.default_rng(2)
    n = 20
    u, du = hermitian(rng, n, real=True), hermitian(rng, n, real=False)
    s = rng.uniform(-0.02, 0.02, size=(n, 3))
    common = {
        "excitation_error": s, "excitation_derivatives": np.zeros((0, n)), "wavenumber_per_angstrom": K,
        "thickness_angstrom": [150.0], "thickness_weights": [1.0], "azimuth_weights": np.ones(3), "rows": np.arange(n),
        "tolerance": 1e-13,
    }  # fmt: skip
    empty = np.zeros((0, n, n))
    _, found = intensities_with_derivatives(potential=u, potential_derivatives=du[None], **common)
    reference = fourth_order(
        lambda h: intensities_with_derivatives(potential=u + h * du, potential_derivatives=empty, **common)[0], STEP
    )
    assert np.abs(found[0] - reference).max() <= 1e-6 * np.abs(reference).max()


def test_single_precision_derivatives() -> None:
    rng = np.random.default_rng(4)
    n = 60
    u, du = hermitian(rng, n, real=True), hermitian(rng, n, real=True)
    s = rng.uniform(-0.02, 0.02, size=(n, 8))
    common = {
        "potential": u, "potential_derivatives": du[None], "excitation_error": s,
        "excitation_derivatives": rng.normal(size=(1, n)), "wavenumber_per_angstrom": K, "thickness_angstrom": [100.0],
        "thickness_weights": [1.0], "azimuth_weights": np.full(8, 1 / 8), "rows": np.arange(n),
    }  # fmt: skip
    value, derivative = intensities_with_derivatives(**common)
    value32, derivative32 = intensities_with_derivatives(**common, dtype=np.float32)
    assert np.abs(value32 - value).max() < 1e-6
    assert np.abs(derivative32 - derivative).max() < 1e-5 * np.abs(derivative).max()
