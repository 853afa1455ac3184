"""Charge flipping: what is imposed on the transform of a density, and phases from half of a sphere."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import scipy.fft

from pipeline.solution.flipping import Complexes, _Constraints, _most, flip_charges, make_grid
from pipeline.solution.options import DEFAULT, FlipOptions, Missing, Normalisation
from pipeline.solution.problem import Problem, pose
from twin.physics.lattice import Floats
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
    most = np.full(len(spots.e), DEFAULT.bound_e)
    data = _Constraints(grid, amplitude=spots.e, measured=spots.measured, weak=weak, most=most)
    rho = np.random.default_rng(1).standard_normal((1, *grid.shape)).astype(np.float32)
    before = scipy.fft.rfftn(rho, axes=(1, 2, 3))
    imposed = data.impose(before, turn=turn)
    after = scipy.fft.rfftn(scipy.fft.irfftn(imposed, s=grid.shape, axes=(1, 2, 3)), axes=(1, 2, 3))
    np.testing.assert_allclose(after, imposed, atol=2e-5 * np.abs(imposed).max())
    was, now = (array.reshape(-1)[grid.index] for array in (before, imposed))
    kept = spots.measured & ~weak if turn else spots.measured
    np.testing.assert_allclose(np.abs(now[kept]), spots.e[kept], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.angle(now[kept] / was[kept]), 0.0, atol=1e-3)
    assert np.abs(now[~spots.measured]).max() <= DEFAULT.bound_e * (1.0 + 1e-5)
    if turn:
        np.testing.assert_allclose(np.abs(now[weak] / was[weak]), 1.0, rtol=1e-4)
        np.testing.assert_allclose(np.abs(np.angle(now[weak] / was[weak])), np.pi / 2, atol=1e-3)


def flipped(problem: Problem, *, starts: int, seed: int, options: FlipOptions = DEFAULT) -> tuple[Complexes, Floats]:
    spots = problem.spots
    return flip_charges(hkl=problem.primitive_hkl, e=spots.e, level=spots.level, measured=spots.measured, starts=starts,
                        generator=np.random.default_rng(seed), options=options, cycles=options.cycles)  # fmt: skip


def right_starts(problem: Problem, found: Complexes) -> int:
    crystal, spots = OTHERS["artroeite"].crystal, problem.spots
    known = spots.measured
    return sum(map_correlation(crystal, spots.hkl[known], f[known]) > 0.75 for f in found)


@pytest.mark.parametrize("normalise", ["E", "F"])
def test_phases_come_out_of_half_a_triclinic_sphere(triclinic: Problem, normalise: Normalisation) -> None:
    spots = triclinic.spots
    assert spots.measured.mean() < 0.6
    f, residual = flipped(triclinic, starts=4, seed=2, options=FlipOptions(normalise=normalise))
    assert right_starts(triclinic, f) >= 3
    assert right_starts(triclinic, f[[np.argmin(residual)]]) == 1
    assert residual.min() > 0.1  # the trivial answer, one huge peak, has all amplitudes of a point
    np.testing.assert_allclose(np.abs(f[:, spots.measured]), np.broadcast_to(spots.e, f.shape)[:, spots.measured])


def test_the_same_generator_gives_the_same_phases(triclinic: Problem) -> None:
    runs = [flipped(triclinic, starts=2, seed=3, options=FlipOptions(cycles=10))[0] for _ in range(2)]
    np.testing.assert_array_equal(*runs)


def test_a_threshold_far_too_low_or_too_high_finds_nothing(triclinic: Problem) -> None:
    """Nothing is flipped below the noise of the density; above the peaks everything is, and the phases only turn."""
    for delta in (0.2, 3.0):
        f, _ = flipped(triclinic, starts=4, seed=2, options=FlipOptions(delta=delta))
        assert right_starts(triclinic, f) == 0


def test_unmeasured_reflections_are_treated_as_asked(triclinic: Problem) -> None:
    free = ~triclinic.spots.measured

    def most(**options: Any) -> float:
        return float(np.abs(flipped(triclinic, starts=2, seed=2, options=FlipOptions(**options))[0][:, free]).max())

    assert most(missing="zero") == 0.0
    assert most(missing="float") > 1.2 * DEFAULT.bound_e  # after elimination, which bounds nothing
    tight, none = (flipped(triclinic, starts=2, seed=2, options=o)[0]
                   for o in (FlipOptions(bound_e=0.0), FlipOptions(missing="zero")))  # fmt: skip
    np.testing.assert_array_equal(tight[:, ~free], none[:, ~free])


@pytest.mark.parametrize("missing", ["float", "zero"])
def test_a_bound_of_nothing_or_without_end(triclinic: Problem, missing: Missing) -> None:
    spots, grid = triclinic.spots, make_grid(triclinic.primitive_hkl)
    most = np.full(len(spots.e), _most(FlipOptions(missing=missing)))
    data = _Constraints(grid, amplitude=spots.e, measured=spots.measured, weak=np.zeros(len(most), dtype=bool),
                        most=most)  # fmt: skip
    before = scipy.fft.rfftn(np.random.default_rng(1).standard_normal((1, *grid.shape)), axes=(1, 2, 3))
    was, now = (a.reshape(-1)[grid.index][~spots.measured] for a in (before, data.impose(before, turn=False)))
    np.testing.assert_allclose(now, was if missing == "float" else 0.0 * was, rtol=1e-6)


def test_amplitudes_as_measured_fall_off_and_normalised_ones_do_not(triclinic: Problem) -> None:
    spots = triclinic.spots
    known, far = spots.measured, spots.g > 0.8 * spots.g.max()
    near = spots.g < 0.4 * spots.g.max()
    f = spots.e * spots.level
    np.testing.assert_allclose(f[known] ** 2 / spots.intensity[known],
                               f[known][0] ** 2 / spots.intensity[known][0], rtol=1e-9)  # fmt: skip

    def fall(amplitude: Floats) -> float:
        return float(np.mean(amplitude[known & far] ** 2) / np.mean(amplitude[known & near] ** 2))

    assert fall(f) < 0.4
    assert 0.5 < fall(spots.e) < 2.0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"delta": 9.0}, "delta is 9; allowed are 0.1 to 5"),
        ({"delta": float("nan")}, "delta is nan; allowed are 0.1 to 5"),
        ({"missing": "fill"}, "missing is 'fill'; allowed are bound, float, zero"),
        ({"normalise": "no"}, "normalise is 'no'; allowed are E, F"),
        ({"weak_share": 1.0}, "weak_share is 1; allowed are 0 to 0.9"),
        ({"cycles": 0}, "cycles is 0; allowed are 1 to 100000"),
    ],
)
def test_an_option_out_of_its_range_is_named(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        FlipOptions(**options)
