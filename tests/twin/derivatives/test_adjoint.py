"""The gradient in reverse against derivatives of every intensity by the chain rule."""

from __future__ import annotations

import numpy as np
import pytest

from twin.derivatives.adjoint import intensity_gradient
from twin.derivatives.intensities import intensities_with_derivatives

K = 39.87


def hermitian(rng: np.random.Generator, n: int, *, real: bool) -> np.ndarray:
    a = rng.normal(size=(n, n)) * 0.02
    m = a + (0.0 if real else 1j * rng.normal(size=(n, n)) * 0.02)
    return np.asarray((m + m.conj().T) / 2)


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(("dtype", "accuracy"), [(np.float64, 1e-8), (np.float32, 1e-5)])
@pytest.mark.parametrize("orientations", [1, 70])
def test_gradient_is_that_of_the_chain_rule(
    real: bool, masked: bool, dtype: type, accuracy: float, orientations: int
) -> None:
    """By the potential, the excitation errors and the thickness; one orientation, and more than fit into a block."""
    rng = np.random.default_rng(3)
    n, slope = 40, rng.normal(size=5)
    u, du = hermitian(rng, n, real=real), np.stack([hermitian(rng, n, real=real) for _ in range(3)])
    s, ds = rng.uniform(-0.02, 0.02, size=(n, orientations)), rng.normal(size=(2, n, orientations)) * 0.01
    s[0], ds[:, 0] = 0.0, 0.0
    common = {
        "potential": u, "excitation_error": s, "wavenumber_per_angstrom": K,
        "thickness_angstrom": np.array([40.0, 110.0, 170.0]), "thickness_weights": np.array([0.2, 0.5, 0.3]),
        "azimuth_weights": rng.uniform(size=orientations), "rows": np.array([3, 7, 1, 20, 33]),
        "active": (rng.uniform(size=s.shape) < 0.7) if masked else None, "dtype": dtype,
    }  # fmt: skip
    intensity, jacobian = intensities_with_derivatives(
        potential_derivatives=du, excitation_derivatives=ds, thickness_scale_derivative=True, **common
    )
    found = intensity_gradient(slope=lambda value: slope, **common)
    np.testing.assert_allclose(found.intensity, intensity, atol=1e-6 if dtype is np.float32 else 1e-12)
    gradient = [*np.sum((found.potential * du).real, axis=(1, 2)), *np.sum(found.excitation * ds, axis=(1, 2))]
    expected = jacobian @ slope
    assert np.abs([*gradient, found.thickness] - expected).max() < accuracy * np.abs(expected).max()


@pytest.mark.parametrize("real", [True, False])
def test_orientations_at_which_nothing_is_wanted_add_nothing(real: bool) -> None:
    """A frame of rotation data whose reflections are all far from the sphere for a part of the steps."""
    rng = np.random.default_rng(4)
    u, s = hermitian(rng, 30, real=real), rng.uniform(-0.005, 0.005, size=(30, 64))
    active = np.ones(s.shape, dtype=bool)
    active[5:8, :40] = False

    def gradient(columns: slice) -> tuple[np.ndarray, np.ndarray]:
        found = intensity_gradient(
            potential=u, excitation_error=s[:, columns], wavenumber_per_angstrom=K, thickness_angstrom=[90.0, 200.0],
            thickness_weights=[0.5, 0.5], azimuth_weights=np.full(s[:, columns].shape[1], 1 / 64), rows=[5, 6, 7],
            slope=np.ones_like, active=active[:, columns],
        )  # fmt: skip
        return found.intensity, found.potential

    for whole, part in zip(gradient(slice(None)), gradient(slice(40, None)), strict=True):
        np.testing.assert_allclose(whole, part, atol=1e-10 * np.abs(whole).max())


def test_a_few_terms_are_enough_for_a_thin_slab() -> None:
    """Less than one chunk of terms, and the slope is asked for once, at the intensities."""
    u, s = np.array([[0.0, 0.02], [0.02, 0.0]]), np.zeros((2, 1))
    asked: list[np.ndarray] = []

    def slope(intensity: np.ndarray) -> np.ndarray:
        asked.append(intensity)
        return np.array([1.0])

    found = intensity_gradient(
        potential=u, excitation_error=s, wavenumber_per_angstrom=K, thickness_angstrom=[20.0], thickness_weights=[1.0],
        azimuth_weights=[1.0], rows=[1], slope=slope, tolerance=1e-14,
    )  # fmt: skip
    phase = np.pi * 20.0 * 0.02 / K  # two beams: I = sin²(π U t / K)
    np.testing.assert_allclose(asked, [[np.sin(phase) ** 2]], rtol=1e-9)
    assert found.thickness == pytest.approx(phase * np.sin(2 * phase), rel=1e-8)


def test_absorption_is_refused() -> None:
    with pytest.raises(ValueError, match="Hermitian"):
        intensity_gradient(
            potential=np.array([[0.01j, 0.02], [0.02, 0.01j]]), excitation_error=np.zeros((2, 1)),
            wavenumber_per_angstrom=K, thickness_angstrom=[20.0], thickness_weights=[1.0], azimuth_weights=[1.0],
            rows=[1], slope=lambda value: value,
        )  # fmt: skip
