"""The study goes on where it was cut off; Lorentz factor; solution tables of the report; measured data and peers."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest

from pipeline.io.cif_pets import read_cif_pets
from pipeline.solution.lists import kinematical_observations
from pipeline.solution.peaks import distances, orbit_of
from pipeline.solution.solve import solve_structure
from twin.physics.lattice import direct_matrix
from twin.physics.symmetry import operations
from validation.realdata import data_folder
from validation.report.solution import candidate_table, peak_table, start_table
from validation.solution.conditions import ELEVEN, NONSENSE, THICK, simulated_data
from validation.solution.journal import Journal, code_digest
from validation.solution.matcher import VARIABLE, displaced, matcher_rows
from validation.solution.materials import OTHERS, STUDY
from validation.solution.measured import (
    CASES,
    Measured,
    averaged,
    solve_measured,
)
from validation.solution.page import write_page
from validation.solution.settings import NOT_DRAWN, random_structure, setting_tasks
from validation.solution.tables import group_rows, nonsense_rows, setting_rows, study_rows, thick_rows
from validation.solution.trial import Trial, tasks

ANATASE = {"anatase": STUDY["anatase"]}
CLEAN = {"clean": ELEVEN["clean"]}


def test_a_study_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    first = list(Journal(path, code=code_digest()).completed(tasks(ANATASE, CLEAN, seeds=[1])))
    with path.open("a", encoding="utf-8") as file:
        file.write('{"code": "' + code_digest() + '", "mater')  # cut off in the middle of a line
    times = path.stat().st_mtime_ns
    again = list(Journal(path, code=code_digest()).completed(tasks(ANATASE, CLEAN, seeds=[1])))
    assert again == first
    assert path.stat().st_mtime_ns == times
    assert first[0].right
    assert first[0].claimed


def test_trials_of_other_code_are_made_again(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    for code in ("one", "another"):
        list(Journal(path, code=code).completed(tasks(ANATASE, CLEAN, seeds=[1])))
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


def test_rows_and_page_of_a_few_trials(tmp_path: Path) -> None:
    kept = Journal(tmp_path / "trials.jsonl", code=code_digest())
    wurtzite = {"wurtzite": OTHERS["wurtzite"]}
    rows = [
        *study_rows(list(kept.completed(tasks(ANATASE, CLEAN, seeds=[1])))),
        *thick_rows(list(kept.completed(tasks(ANATASE, {"thin": THICK["two-beam, 30 nm"]}, seeds=[1])))),
        *group_rows(list(kept.completed(tasks(wurtzite, CLEAN, seeds=[1])))),
        *nonsense_rows(list(kept.completed(tasks(ANATASE, NONSENSE, seeds=[1])))),
    ]
    found = {row.id: row for row in rows}
    assert found["study-right"].value == 100.0
    assert found["study-false"].met
    assert found["group-wurtzite"].value == 100.0
    assert found["nonsense"].met
    write_page(tmp_path / "page.md", rows)
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "## Nothing to find" in text
    assert "wurtzite (Kihara" in text


def test_tables_of_the_report_say_where_the_atoms_stand() -> None:
    crystal = STUDY["brookite"].crystal
    merged = simulated_data(crystal, 3, noise=0.1)
    solution = solve_structure(merged=merged, cell=crystal.cell, composition="TiO2", seed=1)
    candidates, starts, peaks = candidate_table(solution), start_table(solution), peak_table(solution)
    assert candidates is not None
    assert starts is not None
    assert peaks is not None
    assert candidates.rows[0].cells[0] == "P b c a"
    assert float(candidates.rows[0].cells[2]) < 0.3
    assert len(starts.rows) == len(solution.starts) >= 4
    assert [row.cells[6] for row in peaks.rows[:1]] == ["Ti1"]
    assert {row.cells[6] for row in peaks.rows[1:3]} == {"O1", "O2"}
    assert float(peaks.rows[0].cells[1]) > 2.0 * float(peaks.rows[1].cells[1])


def test_a_setting_has_a_trial_unless_it_is_the_other_choice_of_origin() -> None:
    tasks_ = setting_tasks()
    names = [t.name for t in tasks_]
    assert {gemmi.SpaceGroup(n).number for n in names} == set(range(1, 231))
    assert len(set(names)) == len(names) > 500
    assert not any(n.endswith(":1") for n in names)
    assert len(setting_tasks(every=60)) < 12


@pytest.mark.parametrize("name", ["P 2 2 21", "F 1 d 1", "C 4 2 21", "R 3 c:R", "P 43 3 2", "P n -3:2"])
def test_a_random_structure_has_its_group_and_keeps_its_distances(name: str) -> None:
    group = gemmi.SpaceGroup(name)
    material = random_structure(group, seed=1)
    assert material is not None
    crystal = material.crystal
    assert crystal.hall == group.hall
    direct, ops = direct_matrix(crystal.cell), operations(crystal.hall)
    for i, one in enumerate(crystal.sites):
        for j, two in enumerate(crystal.sites):
            apart = distances(np.array(one.fract), orbit_of(np.array(two.fract), ops), direct)
            assert (apart[apart > 1e-3] if i == j else apart).min() > 1.5
    again = random_structure(group, seed=1)
    assert again is not None
    assert again.crystal.sites == crystal.sites


def test_rows_of_settings_count_what_was_drawn() -> None:
    solved = Trial(material="P 1 2 1", condition="", seed=1, verdict="solved in P 1 2 1", space_group="P 1 2 1",
                   right=True, max_distance_angstrom=0.01, missing=0, spurious=0, residual=0.1, cpu_s=1.0)  # fmt: skip
    wrong = replace(solved, material="P 4", right=False)
    nothing = replace(solved, material="P m -3 m", verdict=NOT_DRAWN, right=False)
    rows = {row.id: row for row in setting_rows([solved, wrong, nothing])}
    assert (rows["setting-drawn"].value, rows["setting-drawn"].n) == (2.0, 3)
    assert rows["setting-drawn"].note == "none for P m -3 m"
    assert (rows["setting-right"].value, rows["setting-false"].value) == (50.0, 1.0)
    assert rows["setting-monoclinic"].value == 100.0


def test_displacements_keep_the_special_positions() -> None:
    crystal = STUDY["in2o3"].crystal
    moved = displaced(crystal, seed=1, shift=(0.0, 0.0, 0.0))
    assert moved.sites[0].fract == pytest.approx(crystal.sites[0].fract)
    assert moved.sites[1].fract[1:] == pytest.approx(crystal.sites[1].fract[1:])
    assert np.linalg.norm(np.subtract(moved.sites[2].fract, crystal.sites[2].fract)) > 1e-4


@pytest.mark.skipif(not Path(os.environ.get(VARIABLE, "")).is_file(), reason=f"${VARIABLE} names no Python")
def test_pymatgen_finds_the_same_largest_distance(tmp_path: Path) -> None:
    rows = matcher_rows(folder=tmp_path)
    assert len(rows) == 4
    assert all(row.met for row in rows)


def _case(name: str) -> Measured:
    case = next(c for c in CASES if c.name == name)
    if not (data_folder() / case.reflections).is_file():
        pytest.skip(f"no measured data in {data_folder()}")
    return case


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "as_it_is", "corrected"), [("urea", 0.35, 0.22), ("quartz", 0.25, 0.20)])
def test_the_lorentz_factor_is_in_the_lists_for_dynamical_refinement(
    name: str, as_it_is: float, corrected: float
) -> None:
    case = _case(name)
    pets = read_cif_pets(data_folder() / case.reflections)
    before, after = (averaged(p, laue=case.laue, g_max_per_angstrom=1.4).r_int_percent / 100.0
                     for p in (pets, kinematical_observations(pets)))  # fmt: skip
    assert before > as_it_is
    assert after < corrected


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["quartz", "urea"])
def test_measured_intensities_give_the_published_structure(name: str) -> None:
    outcome = solve_measured(_case(name), folder=data_folder())
    assert outcome.solution.verdict.startswith("solved")
    assert outcome.comparison is not None
    assert outcome.comparison.same_space_group
    assert outcome.comparison.missing == ()
    assert outcome.comparison.max_distance_angstrom < 0.15
    assert "hand" in outcome.solution.verdict or "absolute structure" in outcome.solution.verdict


@pytest.mark.realdata
def test_glycine_is_found_and_its_elements_are_left_open() -> None:
    outcome = solve_measured(_case("glycine"), folder=data_folder())
    assert outcome.comparison is not None
    assert outcome.comparison.same_space_group
    assert outcome.comparison.max_distance_angstrom < 0.2
    elements = {m.label[0] == m.other_label[0] for m in outcome.comparison.sites}
    assert elements == {True} or not outcome.solution.verdict.startswith("solved")


@pytest.mark.slow
@pytest.mark.realdata
def test_albite_is_found_in_half_a_sphere_and_its_bonds_tell_silicon_from_aluminium() -> None:
    outcome = solve_measured(_case("albite"), folder=data_folder())
    assert outcome.completeness < 0.5
    assert outcome.comparison is not None
    assert outcome.comparison.same_space_group
    assert outcome.comparison.missing == outcome.comparison.spurious == ()
    assert outcome.comparison.max_distance_angstrom < 0.2
    assert {m.label[:2] == m.other_label[:2] for m in outcome.comparison.sites if m.label[0] != "O"} == {True}
    assert outcome.solution.verdict.startswith("solved")
    assert "told by bond lengths alone from Si and Al exchanged" in outcome.solution.verdict


def test_the_data_of_a_seed_are_the_same_twice() -> None:
    crystal = STUDY["anatase"].crystal
    for data in (*THICK.values(), ELEVEN["noise 20 %"], *NONSENSE.values()):
        first, second, other = data(crystal, 5), data(crystal, 5), data(crystal, 6)
        assert np.array_equal(first.intensity, second.intensity)
        assert not np.array_equal(first.intensity, other.intensity)
