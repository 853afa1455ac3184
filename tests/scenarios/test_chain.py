"""From atoms to a refined structure and its comparison with the truth, through the run folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from scenarios.load import load_scenario
from scenarios.progress import Silent
from scenarios.run import run_in_folder, run_scenario, summarise_folder
from twin.files.atomic import sha256_file

SMALL = Path(__file__).parent / "small.toml"
PIPELINE = ("reduce", "solve", "refine_kinematical")
RESULTS = ("orientation.json", "merged.npz", "reflections_kin.cif_pets", "solution.cif", "kinematical.cif")
CONTRACT: dict[str, set[str]] = {
    "timings_s": {"simulate", "acquire", "reduce", "solve", "refine_kinematical", "refine_dynamical", "total"},
    "frames": {"count", "tilt_range_deg", "step_deg"},
    "data": {"completeness_percent", "redundancy", "r_int_percent", "averaged_all", "averaged_obs"},
    "cell": {
        "a_angstrom", "b_angstrom", "c_angstrom", "alpha_deg", "beta_deg", "gamma_deg",
        "max_length_error_percent", "max_ratio_error_percent", "max_angle_error_deg",
    },
    "orientation": {"rms_error_deg", "max_error_deg", "indexed_frames_percent"},
    "intensity": {"cc_with_truth", "r_with_truth_percent"},
    "solution": {
        "solved", "space_group", "space_group_correct", "missing_atoms", "spurious_atoms", "max_distance_angstrom",
    },
    "kinematical": {"averaged", "non_averaged", "frame_based"},
}  # fmt: skip
BLOCK = {
    "reflections_all", "reflections_obs", "parameters", "r_obs_percent", "r_all_percent", "wr_all_percent", "gof_obs",
    "mean_distance_angstrom", "max_distance_angstrom",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chain") / "run"
    result = run_scenario(load_scenario(SMALL), path=path, progress=Silent())
    assert result.failed == ()
    return path


@pytest.fixture(scope="module")
def summary(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return loaded


def test_the_structure_is_found_from_frames_alone(summary: dict[str, Any]) -> None:
    solution = summary["solution"]
    assert solution["solved"]
    assert solution["space_group_correct"]
    assert (solution["missing_atoms"], solution["spurious_atoms"]) == (0, 0)
    assert summary["cell"]["max_length_error_percent"] < 1.2  # the camera length is 1 % off, and cannot be known
    assert summary["cell"]["max_ratio_error_percent"] < 0.2
    assert summary["orientation"]["rms_error_deg"] < 0.1
    assert summary["kinematical"]["averaged"]["max_distance_angstrom"] < 0.07
    assert summary["kinematical"]["averaged"]["parameters"] == 8


def test_the_summary_keeps_its_contract(summary: dict[str, Any]) -> None:
    assert {"scenario", "seed", "engine", "dynamical", *CONTRACT} <= set(summary)
    for key, wanted in CONTRACT.items():
        assert wanted <= set(summary[key]), key
    assert set(summary["kinematical"]["averaged"]) >= BLOCK
    assert set(summary["kinematical"]["non_averaged"]) >= BLOCK
    assert summary["dynamical"] is None  # not asked for
    assert summary["kinematical"]["frame_based"] is None
    assert summary["frames"] == {"count": 33, "tilt_range_deg": [-40.0, 40.0], "step_deg": 2.5}


def test_the_run_folder_holds_what_the_design_lists(folder: Path) -> None:
    names = {
        "scenario.toml", "manifest.json", "frames.nxs", "peaks.npz", "orientation.json", "reflections_kin.cif_pets",
        "reflections_dyn.cif_pets", "kinematical.hkl", "solution.cif", "kinematical.cif", "summary.json", "report.html",
        "truth",
    }  # fmt: skip
    assert names <= {p.name for p in folder.iterdir()}


def test_the_pipeline_runs_without_the_truth_and_finds_the_same(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "blind"
    shutil.copytree(folder, copy)
    shutil.rmtree(copy / "truth")
    for name in ("summary.json", "report.html", *RESULTS):
        (copy / name).unlink()
    result = run_in_folder(copy, progress=Silent(), stages=PIPELINE)
    assert result.failed == ()
    assert {n: sha256_file(copy / n) for n in RESULTS} == {n: sha256_file(folder / n) for n in RESULTS}
    blind = summarise_folder(copy)
    assert blind["solution"]["solved"]
    assert blind["solution"]["space_group_correct"] is None  # nobody is there to tell


def test_too_few_frames_are_a_sentence_not_a_crash(tmp_path: Path) -> None:
    loaded = load_scenario(SMALL, overrides=["acquisition.stop_deg=-38.0", "acquisition.step_deg=1.0"])
    result = run_scenario(loaded, path=tmp_path / "run", progress=Silent())
    assert [ended.stage for ended in result.failed] != []
    assert result.summary is not None
    assert result.summary["dynamical"] is None
    assert result.summary["kinematical"]["averaged"] is None
    sentence = result.failed[0].failed
    assert sentence is not None
    assert "\n" not in sentence
