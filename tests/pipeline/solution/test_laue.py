"""Laue classes above and below: what the lattice allows, what the intensities agree with, and a structure from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.solution.laue import (
    allowed_by_lattice,
    class_name,
    classes_above,
    classes_below,
    classes_obeyed,
    conforming_cell,
    in_class_of_group,
    laue_classes,
    merged_in,
    solve_in_any_class,
)
from pipeline.types import MergedReflections
from twin.model.crystal import Cell, Crystal
from twin.physics.lattice import miller_indices, reciprocal_matrix
from twin.physics.structure_factors import structure_factors
from twin.physics.symmetry import asymmetric_hkl
from validation.compare import compare_structures
from validation.solution.materials import OTHERS, STUDY

SLIGHTLY_OFF = Cell(a_angstrom=9.18, b_angstrom=5.44, c_angstrom=5.14, alpha_deg=90.2, beta_deg=89.8, gamma_deg=90.1)


def observations(crystal: Crystal, *, noise: float = 0.1) -> MergedReflections:
    hkl = miller_indices(reciprocal=reciprocal_matrix(crystal.cell), g_max_per_angstrom=1.25)[1:]
    rng = np.random.default_rng(4)
    intensity = np.abs(structure_factors(crystal=crystal, hkl=hkl)) ** 2
    intensity = intensity * (1.0 + noise * rng.standard_normal(len(hkl)))
    return MergedReflections(
        hkl=hkl, intensity=intensity, sigma=np.full(len(hkl), 0.02 * intensity.mean()),
        multiplicity=np.ones(len(hkl), dtype=np.int64), hall="-P 1", r_int_percent=0.0, completeness_percent=100.0,
        redundancy=1.0, g_max_per_angstrom=1.25,
    )  # fmt: skip


def test_the_classes_of_the_tables() -> None:
    names = [class_name(h) for h in laue_classes()]
    assert names[0] == "m -3 m"
    assert names[-1] == "-1"
    assert {"m -3", "6/m m m", "6/m", "-3", "4/m m m", "4/m", "m m m"} <= set(names)
    assert set(classes_below("-P 2 2")) == {"-P 2y", "-P 2", "-P 2x", "-P 1"}


def test_the_lattice_decides_which_classes_are_possible() -> None:
    assert allowed_by_lattice(SLIGHTLY_OFF, "-P 2 2")
    assert not allowed_by_lattice(SLIGHTLY_OFF, "-P 4 2")
    cell = conforming_cell(SLIGHTLY_OFF, "-P 2 2")
    assert cell.parameters[3:] == pytest.approx((90.0, 90.0, 90.0))
    assert cell.parameters[:3] == pytest.approx(SLIGHTLY_OFF.parameters[:3])


def test_equivalents_agree_in_the_right_class_and_not_above() -> None:
    data = observations(STUDY["brookite"].crystal)
    right = merged_in(data, "-P 2 2")
    assert right.r_int_percent < 10.0
    assert len(right.hkl) < len(data.hkl) / 6
    square = replace(STUDY["brookite"].crystal.cell, b_angstrom=9.174)
    assert merged_in(data, "-P 4 2").r_int_percent > 30.0
    assert classes_above(data, hall="-P 2 2", cell=square) == []
    assert classes_above(data, hall="-P 1", cell=square)[0] == "-P 2 2"


def pseudo_tetragonal() -> Crystal:
    """MgTi2O5 with a = b: the lattice of a class that its intensities do not have."""
    crystal = STUDY["mgti2o5"].crystal
    return replace(crystal, cell=replace(crystal.cell, a_angstrom=9.86, b_angstrom=9.86))


@pytest.mark.parametrize(("given", "starts"), [("-P 1", 4), ("-P 2y", 4), ("-P 4 2", 2)])
def test_the_structure_is_found_whatever_class_the_data_came_in(given: str, starts: int) -> None:
    crystal, formula = STUDY["brookite"].crystal, "TiO2"
    if given == "-P 4 2":
        crystal, formula = pseudo_tetragonal(), "MgTi2O5"
    data = observations(crystal)
    found, chosen = solve_in_any_class(merged=merged_in(data, given), observations=data, cell=crystal.cell,
                                       composition=formula, seed=2, starts=starts)  # fmt: skip
    assert found.crystal is not None
    assert found.verdict.startswith("solved in")
    assert "Laue class" in found.verdict
    result = compare_structures(crystal, found.crystal)
    assert result.same_space_group
    assert result.missing == ()
    assert result.max_distance_angstrom < 0.05
    assert chosen.merged.hall != given


def test_a_class_too_low_is_not_called_solved_while_the_intensities_obey_a_higher_one() -> None:
    """Anatase squeezed to a = 5.3, c = 5.31 Å: too close for a model in 4/mmm, which its intensities obey."""
    cell = Cell(a_angstrom=5.3, b_angstrom=5.3, c_angstrom=5.31)
    crystal = replace(STUDY["anatase"].crystal, cell=cell)
    data = observations(crystal)
    found, chosen = solve_in_any_class(merged=merged_in(data, "-P 4 2 3"), observations=data, cell=cell,
                                       composition="TiO2", seed=2, starts=2)  # fmt: skip
    assert chosen.merged.hall == "-P 4 2" or found.verdict.startswith(("ambiguous", "not solved"))


def test_without_observations_nothing_else_is_tried() -> None:
    crystal = STUDY["brookite"].crystal
    low = merged_in(observations(crystal), "-P 2y")
    _, chosen = solve_in_any_class(merged=low, observations=None, cell=crystal.cell, composition="TiO2", seed=2,
                                   starts=1)  # fmt: skip
    assert chosen.merged is low


def test_a_model_is_refined_against_data_of_its_own_class() -> None:
    """Merged below the model's class: merged again in it, with more equivalents; merged in it already: left alone."""
    brookite = STUDY["brookite"].crystal
    single = observations(brookite)
    low = merged_in(single, "-P 1")
    asked: list[None] = []

    def unmerged() -> MergedReflections:
        asked.append(None)
        return single

    risen = in_class_of_group(hall=brookite.hall, merged=low, observations=unmerged)
    assert risen.redundancy > 1.5 * low.redundancy
    assert in_class_of_group(hall=brookite.hall, merged=risen, observations=unmerged) is risen
    assert len(asked) == 1


def _parted_by_multiple_scattering(crystal: Crystal, *, size: float) -> MergedReflections:
    """Equivalents of 2/m (about c) agree, those of mmm differ by a factor of their own."""
    found = observations(crystal, noise=0.03)
    _, group = np.unique(asymmetric_hkl(found.hkl, "-P 2"), axis=0, return_inverse=True)
    factor = np.exp(size * np.random.default_rng(3).standard_normal(group.max() + 1))
    return replace(found, intensity=found.intensity * factor[group])


def test_atoms_that_obey_a_class_whose_equivalents_disagree_are_not_called_solved_below_it() -> None:
    crystal = STUDY["brookite"].crystal
    parted = _parted_by_multiple_scattering(crystal, size=0.3)
    given = merged_in(parted, "-P 2")
    assert given.r_int_percent < 5.0
    assert classes_above(parted, hall="-P 2", cell=crystal.cell) == []
    solution, used = solve_in_any_class(merged=given, observations=parted, cell=crystal.cell,
                                        composition="TiO2", seed=1)  # fmt: skip
    assert solution.verdict.startswith("ambiguous")
    assert "m m m" in solution.verdict
    assert "which its atoms obey" in solution.verdict
    if used.merged.hall == "-P 2 2":
        assert solution.crystal is not None
        assert compare_structures(crystal, solution.crystal).same_space_group


@pytest.mark.parametrize(("name", "above"), [
    ("brookite", []), ("in2o3", []), ("LiNbO3", []), ("artroeite", []),
    ("cobaltite", ["-P 2 2 3"]), ("alloclasite", ["-P 2 2"]),
])  # fmt: skip
def test_only_pseudosymmetric_structures_obey_a_class_above_their_own(name: str, above: list[str]) -> None:
    """Cobaltite is pyrite but for the order of As and S, alloclasite marcasite."""
    assert classes_obeyed((STUDY | OTHERS)[name].crystal) == above
