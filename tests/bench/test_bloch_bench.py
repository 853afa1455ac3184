"""Benchmarks of the Bloch engine (pytest tests/bench --benchmark-enable)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from twin.derivatives.intensities import intensities_with_derivatives
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.potential import potential_matrix
from validation.engines.problem import ENERGY_KEV, IN2O3, Problem, frame, solve

Benchmark = Callable[..., Any]


@lru_cache(maxsize=8)
def problem(s_max: float, thickness_angstrom: float, azimuths: int) -> Problem:
    precession = 1.2 if azimuths > 1 else 0.0
    return frame(
        IN2O3,
        thickness_angstrom=thickness_angstrom,
        s_max_per_angstrom=s_max,
        azimuths=azimuths,
        precession_deg=precession,
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("nm", [10, 30, 70])
def test_precession_frame(benchmark: Benchmark, nm: int, dtype: type) -> None:
    case = problem(0.02, 10.0 * nm, 64)
    result = benchmark(solve, case, dtype=dtype)
    np.testing.assert_allclose((np.abs(result.amplitudes) ** 2).sum(axis=1), 1.0, atol=1e-4)


@pytest.mark.parametrize("s_max", [0.02, 0.05])
def test_single_orientation(benchmark: Benchmark, s_max: float) -> None:
    result = benchmark(solve, problem(s_max, 100.0, 1))
    np.testing.assert_allclose((np.abs(result.amplitudes) ** 2).sum(axis=1), 1.0, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_converged_frame(benchmark: Benchmark, dtype: type) -> None:
    result = benchmark(solve, problem(0.1, 100.0, 64), dtype=dtype)
    np.testing.assert_allclose((np.abs(result.amplitudes) ** 2).sum(axis=1), 1.0, atol=1e-4)


def test_twenty_structural_derivatives(benchmark: Benchmark) -> None:
    case = problem(0.02, 100.0, 16)
    result = solve(case)
    u = potential_matrix(case.table, result.hkl)
    du = np.random.default_rng(0).normal(size=(20, 1, 1)) * u
    intensity, derivative = benchmark(
        intensities_with_derivatives,
        potential=u,
        potential_derivatives=du,
        excitation_error=result.excitation_error,
        excitation_derivatives=np.zeros((0, len(u))),
        wavenumber_per_angstrom=wavenumber_per_angstrom(energy_kev=ENERGY_KEV),
        thickness_angstrom=[100.0],
        thickness_weights=[1.0],
        azimuth_weights=np.full(16, 1 / 16),
        rows=np.arange(len(u)),
        active=result.active,
    )
    np.testing.assert_allclose(intensity.sum(), 1.0, atol=1e-3)
    np.testing.assert_allclose(derivative.sum(axis=1), 0.0, atol=1e-3)  # the number of electrons does not change
