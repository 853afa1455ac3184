"""Bond valences: sums of published structures, exchanged elements, and what they may not decide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.solution.composition import parse_formula
from pipeline.solution.model import Atoms
from pipeline.solution.solve import solve_structure
from pipeline.solution.valence import bonds_exclude, deviations, oxidation_states
from twin.model.crystal import Crystal
from twin.physics.lattice import direct_matrix
from twin.physics.symmetry import operations
from validation.solution.conditions import simulated_data
from validation.solution.materials import OTHERS, STUDY, Material
from validation.solution.trial import judged

ORDERED = [(STUDY | OTHERS)[n] for n in ("brookite", "anatase", "in2o3", "quartz", "wurtzite", "LiNbO3", "PbTiO3",
                                         "baddeleyite", "sillimanite")]  # fmt: skip
SILLIMANITE = OTHERS["sillimanite"]


def atoms_of(crystal: Crystal) -> Atoms:
    elements = tuple(dict.fromkeys(s.element for s in crystal.sites))
    kind = np.array([elements.index(s.element) for s in crystal.sites])
    return Atoms(fract=np.array([s.fract for s in crystal.sites]), multiplicity=np.ones(len(kind), dtype=np.int64),
                 kind=kind, elements=elements, occupancy=np.eye(len(elements))[kind],
                 u_iso_angstrom2=np.zeros(len(elements)))  # fmt: skip


def off(material: Material, atoms: Atoms | None = None, *, scale: float = 1.0) -> np.ndarray:
    crystal = material.crystal
    return deviations(atoms or atoms_of(crystal), hall=crystal.hall, direct=scale * direct_matrix(crystal.cell),
                      states=oxidation_states(parse_formula(material.formula)))  # fmt: skip


def exchanged(atoms: Atoms, i: int, j: int) -> Atoms:
    order = np.arange(len(atoms.kind))
    order[[i, j]] = j, i
    return replace(atoms, occupancy=atoms.occupancy[order], kind=atoms.kind[order])


def exclude(other: Atoms, model: Atoms, material: Material = SILLIMANITE) -> bool:
    return bonds_exclude(other, model, hall=material.crystal.hall, direct=direct_matrix(material.crystal.cell),
                         states=oxidation_states(parse_formula(material.formula)))  # fmt: skip


@pytest.mark.parametrize(
    ("formula", "states"),
    [
        ("NaAlSi3O8", {"Na": 1, "Al": 3, "Si": 4}),
        ("Fe2O3", {"Fe": 3}),
        ("FeO", {"Fe": 2}),
        ("Fe3O4", {}),  # two states on one element
        ("PbTiO3", {"Pb": 2, "Ti": 4}),
        ("Al2SiO5H2O", {"Al": 3, "Si": 4, "H": 1}),
        ("AlO2H", {"Al": 3, "H": 1}),
        ("CoAsS", {}),
        ("NaCl", {}),
    ],
)
def test_oxidation_states_are_those_that_make_the_oxide_neutral(formula: str, states: dict[str, int]) -> None:
    assert oxidation_states(parse_formula(formula)) == states


@pytest.mark.parametrize("material", ORDERED, ids=lambda m: m.crystal.name)
def test_published_structures_have_the_valences_of_their_states(material: Material) -> None:
    """And a cell that is 4 % too small has not: the sums rise by the factor exp(0.04 R / 0.37), about a quarter."""
    assert np.mean(off(material) ** 2) < 1.0
    assert np.mean(off(material, scale=0.96) ** 2) > np.mean(off(material) ** 2) + 1.0


@settings(max_examples=20, deadline=None)
@given(op=st.integers(0, 7), shift=st.tuples(*[st.integers(-2, 2)] * 3))
def test_equivalent_positions_have_the_same_sums(op: int, shift: tuple[int, int, int]) -> None:
    ops = operations(SILLIMANITE.crystal.hall)
    atoms = atoms_of(SILLIMANITE.crystal)
    moved = atoms.fract @ ops.rotations[op].T + ops.translations[op] + np.array(shift)
    np.testing.assert_allclose(off(SILLIMANITE, replace(atoms, fract=moved)), off(SILLIMANITE), atol=1e-6)


def test_exchanged_silicon_and_aluminium_are_excluded_and_never_the_truth() -> None:
    right = atoms_of(SILLIMANITE.crystal)
    for aluminium in (0, 1):
        wrong = exchanged(right, aluminium, 2)
        assert exclude(wrong, right)
        assert not exclude(right, wrong)
    assert not exclude(right, right)


def test_positions_that_elements_share_are_not_judged() -> None:
    right = atoms_of(SILLIMANITE.crystal)
    table = right.occupancy.copy()
    table[1:3] = np.mean(table[1:3], axis=0)
    mixed = replace(right, occupancy=table)
    assert not exclude(mixed, right)
    assert not exclude(right, mixed)


def test_bonds_of_a_model_that_has_impossible_ones_decide_nothing() -> None:
    right = atoms_of(SILLIMANITE.crystal)
    bad = replace(right, fract=right.fract + 0.1 * np.random.default_rng(1).standard_normal(right.fract.shape))
    assert not exclude(exchanged(bad, 1, 2), bad)
    assert not exclude(bad, exchanged(bad, 1, 2))


def test_what_the_intensities_leave_open_is_told_by_the_bonds() -> None:
    """At a noise of 60 % of each intensity the data do not tell Si from Al by three standard deviations."""
    crystal = SILLIMANITE.crystal
    merged = simulated_data(crystal, 3, noise=0.6)
    solution = solve_structure(merged=merged, cell=crystal.cell, composition=SILLIMANITE.formula, seed=3)
    assert "told by bond lengths alone from Si and Al exchanged" in solution.verdict
    trial = judged(SILLIMANITE, solution, name="sillimanite", condition="", seed=3, cpu_s=0.0)
    assert trial.right, solution.verdict
