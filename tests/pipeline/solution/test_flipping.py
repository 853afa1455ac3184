"""Charge flipping: what is imposed on the transform of a density, and phases from half of a sphere."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from pipeline.solution.flipping import MOST_FLOATING, _Constraints, flip_charges, make_grid
from pipeline.solution.problem import Problem, pose
from validation.solution.conditions import simulated_data
from validation.solution.materials import OTHERS
from validation.solution.peer import map_correlation


def half_missing(name: str, *, seed: int, cone_deg: float) -> Problem:
    material = OTHERS[name]
    merged = simulated_data(material.crystal, seed, cone_deg=cone_deg, noise=0.2, d_min=0.8)
    return pose(merged=merged, cell=material.crystal.cell, composition=material.formula, volume_angstrom3=None)


@pytest.fixture(scope="module")
def triclinic() -> Problem:
    return half_missing("artroeite", seed=4, cone_deg=62.0)


@pytest.mark.parametrize("turn", [False, True])
def test_what_is_imposed_is_the_transform_of_a_real_density(triclinic: Problem, turn: bool) -> None:
    """Friedel mates that the array holds twice stay mates, turned or not: the way back gives the same amplitudes."""
    spots, grid = triclinic.spots, make_grid(triclinic.primitive_hkl)
    weak = spots.measured & (spots.e < 0.5)
    assert 0 < weak.sum() < spots.measured.sum()
    data = _Constraints(grid, e=spots.e, measured=spots.measured, weak=weak, floating=MOST_FLOATING)
    rho = np.random.default_rng(1).standard_normal((1, *grid.shape)).astype(np.float32)
    before = scipy.fft.rfftn(rho, axes=(1, 2, 3))
    imposed = data.impose(before, turn=turn)
    after = scipy.fft.rfftn(scipy.fft.irfftn(imposed, s=grid.shape, axes=(1, 2, 3)), axes=(1, 2, 3))
    np.testing.assert_allclose(after, imposed, atol=2e-5 * np.abs(imposed).max())
    was, now = (array.reshape(-1)[grid.index] for array in (before, imposed))
    kept = spots.measured & ~weak if turn else spots.measured
    np.testing.assert_allclose(np.abs(now[kept]), spots.e[kept], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.angle(now[kept] / was[kept]), 0.0, atol=1e-3)
    assert np.abs(now[~spots.measured]).max() <= MOST_FLOATING * (1.0 + 1e-5)
    if turn:
        np.testing.assert_allclose(np.abs(now[weak] / was[weak]), 1.0, rtol=1e-4)
        np.testing.assert_allclose(np.abs(np.angle(now[weak] / was[weak])), np.pi / 2, atol=1e-3)


def test_phases_come_out_of_half_a_triclinic_sphere(triclinic: Problem) -> None:
    spots = triclinic.spots
    assert spots.measured.mean() < 0.6
    f, residual = flip_charges(hkl=triclinic.primitive_hkl, e=spots.e, measured=spots.measured, starts=4,
                               generator=np.random.default_rng(2))  # fmt: skip
    crystal = OTHERS["artroeite"].crystal
    found = np.array([map_correlation(crystal, spots.hkl[spots.measured], x[spots.measured]) for x in f])
    assert (found > 0.75).sum() >= 3
    assert found[np.argmin(residual)] > 0.75
    assert residual.min() > 0.1  # the trivial answer, one huge peak, has all amplitudes of a point


def test_the_same_generator_gives_the_same_phases(triclinic: Problem) -> None:
    spots = triclinic.spots
    runs = [
        flip_charges(hkl=triclinic.primitive_hkl, e=spots.e, measured=spots.measured, starts=2, cycles=10,
                     generator=np.random.default_rng(3))[0]
        for _ in range(2)
    ]  # fmt: skip
    np.testing.assert_array_equal(*runs)
