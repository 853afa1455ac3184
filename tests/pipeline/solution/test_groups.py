"""Groups from phases: every setting of the tables, feigned supergroups, cells centred more than need be."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from pipeline.solution.flipping import Complexes
from pipeline.solution.groups import Candidate, PhaseMap, primitive_basis, rank_groups, settings
from pipeline.solution.laue import centring_of
from pipeline.solution.solve import solve_structure
from pipeline.solution.spots import centring_allows, prepare
from pipeline.solution.symmetrise import moved_origin
from twin.model.crystal import Crystal
from twin.physics.lattice import Ints, miller_indices, reciprocal_matrix
from twin.physics.structure_factors import structure_factors
from twin.physics.symmetry import laue_hall
from validation.compare import compare_structures
from validation.solution.conditions import simulated_data
from validation.solution.settings import random_structure

SOME = [str(g.xhm()) for k, g in enumerate(gemmi.spacegroup_table()) if k % 23 == 5 and not str(g.xhm()).endswith(":1")]
OVERCENTRED = ["C -1", "B 1 2 1", "C 4 2 21", "F 1 2/m 1"]


def ranked(crystal: Crystal, *, noise_rad: float, seed: int = 1) -> tuple[Candidate, ...]:
    """Groups for the true phases about another origin, with noise."""
    rng = np.random.default_rng(seed)
    hkl, f = _phased(crystal, g_max=1.0)
    f = moved_origin(hkl, f, rng.random(3)) * np.exp(1j * noise_rad * rng.standard_normal(len(f)))
    g = np.linalg.norm(hkl @ reciprocal_matrix(crystal.cell).T, axis=1)
    centring = centring_of(crystal.hall)
    phases = PhaseMap(hkl=np.rint(hkl @ primitive_basis(centring)).astype(np.int64), f=f, g=g)
    return rank_groups(phases=phases, laue=laue_hall(crystal.hall), centring=centring, agreement_limit=0.5)


def _phased(crystal: Crystal, *, g_max: float) -> tuple[Ints, Complexes]:
    hkl = miller_indices(reciprocal=reciprocal_matrix(crystal.cell), g_max_per_angstrom=g_max)[1:]
    hkl = hkl[centring_allows(hkl, centring_of(crystal.hall))]
    half = (hkl @ np.array([10_000, 100, 1])) > 0
    return hkl[half], structure_factors(crystal=crystal, hkl=hkl[half])


@pytest.mark.parametrize("name", SOME)
def test_the_group_is_found_whatever_setting_and_origin(name: str) -> None:
    """And what comes before it are supergroups that agree worse: a polar structure nearly has a centre."""
    group = gemmi.SpaceGroup(name)
    material = random_structure(group, seed=11)
    if material is None:
        pytest.skip("no random structure of this group alone was drawn")
    candidates = ranked(material.crystal, noise_rad=0.3)
    at = next(k for k, c in enumerate(candidates) if c.setting.number == group.number)
    assert candidates[at].agreement > 0.75
    assert all(c.order > candidates[at].order and c.agreement < candidates[at].agreement for c in candidates[:at])


def test_every_group_and_every_centred_cell_of_the_tables_can_be_found() -> None:
    """All 230 types, and cells with more centring than their group's own setting has."""
    found = set()
    for group in gemmi.spacegroup_table():
        own = {s.number for s in settings(laue_hall(str(group.hall)), centring_of(str(group.hall)))}
        assert group.number in own, group.xhm()
        found |= own
    assert found == set(range(1, 231))


@pytest.mark.parametrize("name", OVERCENTRED)
def test_a_structure_in_a_cell_that_is_centred_more_than_need_be_is_solved(name: str) -> None:
    group = gemmi.SpaceGroup(name)
    material = random_structure(group, seed=12)
    assert material is not None
    solution = solve_structure(merged=simulated_data(material.crystal, 12, noise=0.1, d_min=0.8),
                               cell=material.crystal.cell, composition=material.formula, seed=12)  # fmt: skip
    assert solution.crystal is not None
    assert solution.verdict.startswith("solved"), solution.verdict
    result = compare_structures(material.crystal, solution.crystal)
    assert result.same_space_group
    assert result.missing == result.spurious == ()


def test_a_mirror_that_only_the_heavy_atoms_have_does_not_come_first() -> None:
    """The phases lie near those of the sites of the heavy atoms alone, which a supergroup describes."""
    material = random_structure(gemmi.SpaceGroup("P b 2 b"), seed=4)
    assert material is not None
    first, *others = ranked(material.crystal, noise_rad=0.3)
    assert first.setting.name == "P b 2 b"
    assert any(c.order > first.order and 0.5 < c.agreement < first.agreement - 0.2 for c in others)


def test_another_number_of_formula_units_is_tried_where_the_first_leaves_the_map_unexplained() -> None:
    """At 17 Å³ an atom the likeliest number is wrong, and a model with too many atoms has R 20 %."""
    material = random_structure(gemmi.SpaceGroup("C 1 2 1"), seed=14)
    assert material is not None
    solution = solve_structure(merged=simulated_data(material.crystal, 14, noise=0.1, d_min=0.8),
                               cell=material.crystal.cell, composition=material.formula, seed=14)  # fmt: skip
    assert solution.verdict.startswith("solved in C 1 2 1"), solution.verdict
    assert dict(solution.evidence)["R"] < 0.06


def test_pseudo_translation_is_no_centring() -> None:
    """What F forbids beside C is weak here (a quarter of the rest), but what C forbids is dark."""
    material = random_structure(gemmi.SpaceGroup("C m c a"), seed=3303)
    assert material is not None
    crystal = material.crystal
    spots = prepare(merged=simulated_data(crystal, 3303, noise=0.1, d_min=0.8), cell=crystal.cell)
    assert spots.centring == "C"
    rest = ~centring_allows(spots.hkl, "F")
    assert np.mean(spots.e[rest] ** 2) < 0.3 * np.mean(spots.e[~rest] ** 2)


@pytest.mark.parametrize(("name", "centring"), [("F d d 2", "F"), ("F 2 2 2", "F"), ("R -3:H", "R"), ("I b c a", "I")])
@pytest.mark.parametrize("forbidden", [0.0, 0.03])
def test_a_centring_is_found_though_forbidden_reflections_are_lit(name: str, centring: str, forbidden: float) -> None:
    material = random_structure(gemmi.SpaceGroup(name), seed=15)
    assert material is not None
    merged = simulated_data(material.crystal, 15, noise=0.2, d_min=0.8, forbidden=forbidden)
    assert prepare(merged=merged, cell=material.crystal.cell).centring == centring
