"""Models are told apart by likelihood, and what the data cannot tell stays open."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.solution.composition import formula_units, parse_formula
from pipeline.solution.fingerprint import same_structure
from pipeline.solution.likelihood import DECISIVE, explanation, preference
from pipeline.solution.model import Atoms
from pipeline.solution.solve import solve_structure
from twin.model.crystal import Cell
from twin.physics.lattice import direct_matrix
from validation.solution.conditions import simulated_data
from validation.solution.materials import OTHERS
from validation.solution.trial import judged

CELL = direct_matrix(Cell(a_angstrom=4.0, b_angstrom=4.0, c_angstrom=4.2, alpha_deg=90, beta_deg=90, gamma_deg=90))


def test_the_error_model_finds_both_kinds_of_noise() -> None:
    rng = np.random.default_rng(1)
    y = rng.exponential(size=3000) * 10.0
    noise = np.sqrt((0.15 * y) ** 2 + (0.1 * y.mean()) ** 2)
    found = explanation(y + noise * rng.standard_normal(3000), y, parameters=5)
    assert np.median(found.variance / noise**2) == pytest.approx(1.0, abs=0.25)


def test_equal_models_are_never_told_apart_and_more_parameters_cost() -> None:
    rng = np.random.default_rng(2)
    y = rng.exponential(size=400)
    observed = y * (1.0 + 0.1 * rng.standard_normal(400))
    wins = 0
    for _ in range(200):
        other = y * (1.0 + 0.1 * rng.standard_normal(400))
        third = y * (1.0 + 0.1 * rng.standard_normal(400))
        one, two = (explanation(observed, z, parameters=4) for z in (other, third))
        wins += abs(preference(one, two)) > DECISIVE
    assert wins <= 4  # of 200; 0.3 % each by chance
    assert explanation(observed, y, parameters=4).total > explanation(observed, y, parameters=9).total


def test_a_wrong_model_is_excluded() -> None:
    rng = np.random.default_rng(3)
    y = rng.exponential(size=150)
    observed = y * (1.0 + 0.1 * rng.standard_normal(150))
    right, wrong = explanation(observed, y, parameters=4), explanation(observed, y[::-1], parameters=4)
    assert preference(right, wrong) > DECISIVE
    assert preference(wrong, right) < -DECISIVE


def perovskite(first: str, second: str, *, shift: float = 0.0, sign: float = 1.0) -> Atoms:
    fract = sign * np.array([[0, 0, 0], [0.5, 0.5, 0.539], [0.5, 0.5, 0.114], [0, 0.5, 0.617]]) + [0, 0, shift]
    elements = ("Pb", "Ti", "O")
    names = (first, second, "O", "O")
    return Atoms(fract=fract % 1.0, multiplicity=np.array([1, 1, 1, 2]), kind=np.array([0, 0, 1, 1]), elements=elements,
                 occupancy=np.array([[float(n == e) for e in elements] for n in names]),
                 u_iso_angstrom2=np.zeros(2))  # fmt: skip


def test_origin_and_hand_leave_a_structure_what_it_is_and_an_exchange_does_not() -> None:
    hall = "P 4 -2"
    model = perovskite("Pb", "Ti")
    assert same_structure(model, perovskite("Pb", "Ti", shift=0.37), hall=hall, direct=CELL)
    assert same_structure(model, perovskite("Pb", "Ti", sign=-1.0), hall=hall, direct=CELL)
    assert not same_structure(model, perovskite("Ti", "Pb"), hall=hall, direct=CELL)


@pytest.mark.parametrize("seed", range(4))
def test_lead_and_titanium_are_never_taken_for_one_another(seed: int) -> None:
    material = OTHERS["PbTiO3"]
    merged = simulated_data(material.crystal, seed=seed, noise=0.2)
    solution = solve_structure(merged=merged, cell=material.crystal.cell, composition=material.formula, seed=seed)
    trial = judged(material, solution, name="PbTiO3", condition="noise", seed=seed, cpu_s=0.0)
    assert not trial.false_accept


VOLUMES = [("CH4N2O", 149.5, 2), ("C2H5NO2", 309.7, 4), ("TiO2", 256.8, 8), ("SiO2", 113.0, 3)]


@pytest.mark.parametrize(("formula", "volume", "expected"), VOLUMES)
def test_formula_units_from_the_volume(formula: str, volume: float, expected: int) -> None:
    numbers = formula_units(parse_formula(formula), volume_angstrom3=volume, given_angstrom3=None)
    assert expected in numbers
    if "H" in formula:
        assert numbers[0] == expected
