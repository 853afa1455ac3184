"""Ab initio solution of the study's materials from perturbed kinematical intensities, without a space group."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from pipeline.solution.solve import solve_structure
from twin.model.crystal import Crystal
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.structure_factors import potential_coefficients
from twin.physics.two_beam import blackman_integrated, extinction_distance_angstrom
from validation.compare import compare_structures
from validation.solution.conditions import CONDITIONS, simulated_data
from validation.solution.materials import OTHERS as ALL_OTHERS
from validation.solution.materials import STUDY

MATERIALS = {name: (material.crystal, material.formula) for name, material in STUDY.items()}
OTHERS = {name: (ALL_OTHERS[name].crystal, ALL_OTHERS[name].formula)
          for name in ("quartz", "wurtzite", "cristobalite", "baddeleyite")}  # fmt: skip


def right(structure: Crystal, found: Crystal | None, *, limit_angstrom: float) -> bool:
    if found is None:
        return False
    result = compare_structures(structure, found)
    complete = result.same_space_group and not result.missing and not result.spurious
    return complete and result.max_distance_angstrom < limit_angstrom


@pytest.mark.parametrize("name", MATERIALS)
def test_the_materials_of_the_study_are_solved_without_a_space_group(name: str) -> None:
    structure, formula = MATERIALS[name]
    merged = simulated_data(structure, seed=3, noise=0.2, power=0.85, forbidden=0.02)
    solution = solve_structure(merged=merged, cell=structure.cell, composition=formula, seed=1)
    assert solution.solved
    assert right(structure, solution.crystal, limit_angstrom=0.1)


@pytest.mark.parametrize("name", MATERIALS)
def test_two_beam_dynamical_intensities_of_a_30_nm_particle(name: str) -> None:
    structure, formula = MATERIALS[name]
    merged = simulated_data(structure, seed=5)
    potential = np.abs(potential_coefficients(crystal=structure, hkl=merged.hkl, energy_kev=200.0)) + 1e-9
    xi = extinction_distance_angstrom(
        potential=potential, wavenumber_per_angstrom=wavenumber_per_angstrom(energy_kev=200.0)
    )
    intensity = blackman_integrated(extinction_angstrom=xi, thickness_angstrom=300.0)
    rng = np.random.default_rng(5)
    lit = 0.01 * intensity.mean() * rng.exponential(size=len(xi))  # multiple scattering
    noisy = intensity * (1.0 + 0.15 * rng.standard_normal(len(xi))) + lit
    merged = replace(merged, intensity=noisy)
    solution = solve_structure(merged=merged, cell=structure.cell, composition=formula, seed=1)
    assert right(structure, solution.crystal, limit_angstrom=0.1)


@pytest.mark.parametrize("name", OTHERS)
def test_chiral_polar_and_monoclinic_groups(name: str) -> None:
    structure, formula = OTHERS[name]
    merged = simulated_data(structure, seed=1, noise=0.1)
    solution = solve_structure(merged=merged, cell=structure.cell, composition=formula, seed=2)
    assert right(structure, solution.crystal, limit_angstrom=0.1)


def test_same_seed_same_solution() -> None:
    structure, formula = MATERIALS["brookite"]
    merged = simulated_data(structure, seed=0, noise=0.2)
    first, second = (solve_structure(merged=merged, cell=structure.cell, composition=formula, seed=5) for _ in range(2))
    assert first.crystal == second.crystal
    assert first.verdict == second.verdict


def test_a_cell_one_per_cent_wrong_in_scale_does_no_harm() -> None:
    structure, formula = MATERIALS["brookite"]
    merged = simulated_data(structure, seed=0, noise=0.15)
    cell = replace(structure.cell, a_angstrom=9.27, b_angstrom=5.50, c_angstrom=5.19)
    solution = solve_structure(merged=merged, cell=cell, composition=formula, seed=5)
    assert right(structure, solution.crystal, limit_angstrom=0.1)


@pytest.mark.parametrize("name", ["brookite", "in2o3"])
def test_random_intensities_are_not_called_solved(name: str) -> None:
    structure, formula = MATERIALS[name]
    merged = simulated_data(structure, seed=0)
    rng = np.random.default_rng(4)
    nonsense = replace(merged, intensity=rng.exponential(size=len(merged.intensity)))
    solution = solve_structure(merged=nonsense, cell=structure.cell, composition=formula, seed=5, starts=4)
    assert not solution.solved
    assert solution.verdict.startswith("not solved")


def test_too_few_reflections_are_refused_in_a_sentence() -> None:
    structure, formula = MATERIALS["brookite"]
    merged = simulated_data(structure, seed=0)
    few = replace(merged, hkl=merged.hkl[:5], intensity=merged.intensity[:5], sigma=merged.sigma[:5],
                  multiplicity=merged.multiplicity[:5])  # fmt: skip
    with pytest.raises(ValueError, match="at least 10 reflections"):
        solve_structure(merged=few, cell=structure.cell, composition=formula, seed=5)


@pytest.mark.slow
def test_study_over_conditions(capsys: pytest.CaptureFixture[str]) -> None:
    """4 materials × 11 conditions × 10 realisations: solved in the right group with all atoms."""
    good = false = total = 0
    seconds: list[float] = []
    with capsys.disabled():
        for name, (structure, formula) in MATERIALS.items():
            for condition, settings in CONDITIONS.items():
                count = 0
                for seed in range(10):
                    start = time.process_time()
                    merged = simulated_data(structure, seed=seed, **settings)
                    solution = solve_structure(merged=merged, cell=structure.cell, composition=formula, seed=seed)
                    seconds.append(time.process_time() - start)
                    fine = right(structure, solution.crystal, limit_angstrom=0.2)
                    count += fine
                    false += solution.verdict.startswith("solved") and not fine
                good, total = good + count, total + 10
                print(f"{name:10s} {condition:14s} {count}/10")
        print(f"right {good}/{total}, false accepts {false}, median CPU {np.median(seconds):.2f} s")
    assert good >= 0.97 * total
    assert false == 0
