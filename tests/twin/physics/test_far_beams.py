"""Far beams as a perturbation: against the exact solution, its order of accuracy, thin and thick limits."""

from __future__ import annotations

import numpy as np
import pytest

from twin.physics.far_beams import bethe_potential, far_amplitudes
from twin.physics.propagation import propagate

K = 39.87
THICKNESS = np.array([20.0, 60.0, 150.0])


def crystal(generator: np.random.Generator, *, near: int = 6, far: int = 12, real: bool = False) -> np.ndarray:
    """A Hermitian potential with U_0 on its diagonal."""
    size = near + far
    u: np.ndarray = generator.normal(size=(size, size))
    if not real:
        u = u + 1j * generator.normal(size=(size, size))
    u = 0.05 * (u + u.conj().T)
    u[near:, near:] = 0.0  # far beams scatter into each other too; that is left out
    np.fill_diagonal(u, 0.2)
    return np.asarray(u)


def solved(u: np.ndarray, s: np.ndarray, near: int, *, perturbed: bool) -> tuple[np.ndarray, np.ndarray]:
    """(near amplitudes, far amplitudes) with the far beams as a perturbation or left out."""
    block = u[:near, :near]
    near_far = u[:near, near:]
    if perturbed:
        block = block + bethe_potential(near_far=near_far, excitation_error=s[near:], wavenumber_per_angstrom=K)
    psi = propagate(
        potential=block, excitation_error=s[:near], wavenumber_per_angstrom=K, thickness_angstrom=THICKNESS
    )
    far = far_amplitudes(
        near_far=near_far,
        near=psi,
        excitation_error=s[near:],
        wavenumber_per_angstrom=K,
        thickness_angstrom=THICKNESS,
        mean_potential=0.2,
    )
    return psi, far


def exact(u: np.ndarray, s: np.ndarray) -> np.ndarray:
    return propagate(potential=u, excitation_error=s, wavenumber_per_angstrom=K, thickness_angstrom=THICKNESS)


@pytest.mark.parametrize("real", [True, False])
def test_perturbation_beats_leaving_out_and_improves_with_distance(real: bool) -> None:
    generator = np.random.default_rng(3)
    u = crystal(generator, real=real)
    s = np.concatenate([[0.0], generator.uniform(-0.01, 0.01, 5), generator.uniform(0.06, 0.1, 12)])[:, None]
    errors = []
    for factor in (1.0, 2.0, 4.0):
        moved = np.where(np.arange(18)[:, None] >= 6, factor * s, s)
        truth = np.abs(exact(u, moved)) ** 2
        near, far = solved(u, moved, 6, perturbed=True)
        without, _ = solved(u, moved, 6, perturbed=False)
        error = np.abs(np.abs(near) ** 2 - truth[:, :6]).max()
        assert error < 0.5 * np.abs(np.abs(without) ** 2 - truth[:, :6]).max()
        errors.append((error, np.linalg.norm(np.abs(far) ** 2 - truth[:, 6:]) / np.linalg.norm(truth[:, 6:])))
    assert errors[2][0] < errors[0][0] / 8.0  # at least as 1/s²
    assert all(far < 0.05 for _, far in errors)


def test_lone_beam_is_that_of_two_beam_theory() -> None:
    """|ψ_w|² of a weak beam far from its Bragg condition: (U/2Ks)² 4 sin²(πst), to second order in U/2Ks."""
    u, s = 0.01, 0.05
    near = propagate(
        potential=[[0.2]], excitation_error=[[0.0]], wavenumber_per_angstrom=K, thickness_angstrom=THICKNESS
    )
    far = far_amplitudes(
        near_far=np.array([[u]]),
        near=near,
        excitation_error=np.array([[s]]),
        wavenumber_per_angstrom=K,
        thickness_angstrom=THICKNESS,
        mean_potential=0.2,
    )
    expected = (u / (2 * K * s)) ** 2 * 4 * np.sin(np.pi * s * THICKNESS) ** 2
    np.testing.assert_allclose(np.abs(far[:, 0, 0]) ** 2, expected, rtol=1e-6, atol=1e-12)


def test_thin_crystal_scatters_once() -> None:
    """Far beams of a crystal that is thin against 1/s: the kinematical amplitude, none of Bethe's potential."""
    generator = np.random.default_rng(5)
    u = crystal(generator)
    s = np.concatenate([[0.0], generator.uniform(-0.01, 0.01, 5), generator.uniform(0.04, 0.08, 12)])[:, None]
    t = np.array([1.0])
    truth = propagate(potential=u, excitation_error=s, wavenumber_per_angstrom=K, thickness_angstrom=t)
    far = far_amplitudes(
        near_far=u[:6, 6:],
        near=truth[:, :6],
        excitation_error=s[6:],
        wavenumber_per_angstrom=K,
        thickness_angstrom=t,
        mean_potential=0.2,
    )
    np.testing.assert_allclose(far, truth[:, 6:], atol=0.01 * np.abs(truth[:, 6:]).max(), rtol=0.0)
    whole = bethe_potential(near_far=u[:6, 6:], excitation_error=s[6:], wavenumber_per_angstrom=K)
    thin = bethe_potential(
        near_far=u[:6, 6:], excitation_error=s[6:], wavenumber_per_angstrom=K, thickness_angstrom=1.0
    )
    assert np.abs(thin).max() < 0.1 * np.abs(whole).max()


def test_bethe_potential_is_hermitian_so_that_no_electron_is_lost() -> None:
    u = crystal(np.random.default_rng(8))
    s = np.linspace(0.05, 0.1, 12)[:, None] * np.array([1.0, 1.1])
    extra = bethe_potential(near_far=u[:6, 6:], excitation_error=s, wavenumber_per_angstrom=K)
    np.testing.assert_allclose(extra, extra.conj().T, atol=1e-15)
