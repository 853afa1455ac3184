"""A serial series from atoms to the refined structure, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scenarios.cli.app import app
from scenarios.cli.exits import BAD_INPUT, guarded
from scenarios.load import load_scenario
from scenarios.progress import Silent
from scenarios.run import run_in_folder, run_scenario, summarise_folder

SERIAL = Path(__file__).parent / "serial.toml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("serial") / "run"
    result = run_scenario(load_scenario(SERIAL), path=path, progress=Silent())
    assert result.failed == ()
    return path


def test_forty_stills_give_the_structure(folder: Path) -> None:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    assert summary["frames"] == {"count": 40, "tilt_range_deg": [0.0, 0.0], "step_deg": 0.0}
    orientation = summary["orientation"]
    assert orientation["indexed_frames_percent"] >= 80.0
    assert orientation["right_frames_percent"] >= 80.0  # claim C35; a still along [110] looks alike in both settings
    assert orientation["median_error_deg"] < 0.1
    assert summary["intensity"]["cc_with_truth"] > 0.99
    assert summary["data"]["completeness_percent"] > 90.0
    assert summary["solution"]["space_group_correct"]
    assert (summary["solution"]["missing_atoms"], summary["solution"]["spurious_atoms"]) == (0, 0)
    assert summary["kinematical"]["averaged"]["max_distance_angstrom"] < 0.07  # claim C32
    text = (folder / "reflections_dyn.cif_pets").read_text()
    assert "static" in text


def test_the_log_says_what_was_found(folder: Path) -> None:
    notes = " ".join(json.loads((folder / "orientation.json").read_text())["notes"])
    for words in ("have an orientation", "centring I", "2 orientations have the same spots", "camera length"):
        assert words in notes


def test_such_stills_carry_a_dynamical_refinement_and_gain_by_it(folder: Path) -> None:
    both = ["refinement.frame_based=true", "refinement.dynamical=true"]
    stages = ("refine_frame_based", "refine_dynamical")
    assert run_in_folder(folder, progress=Silent(), stages=stages, overrides=both).failed == ()
    summary = summarise_folder(folder)
    gain = summary["kinematical"]["frame_based"]["r_obs_percent"] - summary["dynamical"]["r_obs_percent"]
    assert gain > 1.0  # claim of Table 3: one to five points


def test_stills_of_poor_orientation_are_refused_a_dynamical_refinement(folder: Path) -> None:
    table = json.loads((folder / "stills.json").read_text())
    table["turn_su_deg"] = [[0.9, 0.9, 0.1] for _ in table["turn_su_deg"]]
    (folder / "stills.json").write_text(json.dumps(table))
    result = run_in_folder(folder, progress=Silent(), stages=("refine_dynamical",))
    assert "known to 0.90° or worse" in str(result.failed[0].failed)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "needs a cell and a Laue class"),
        (("--cell", "10.1 10.1 10.1 90 90", "--laue", "m-3"), "six numbers are needed"),
        (("--cell", "10.1 10.1 10.1 90 90 190", "--laue", "m-3"), "allowed are 1 to 100"),
        (("--cell", "10.1 10.1 10.1 90 90 90", "--laue", "m3"), "allowed are -1, 2/m"),
        (("--cell", "10.1 10.1 9.1 90 90 90", "--laue", "m-3"), "lacks rotations"),
    ],
)
def test_measured_stills_need_cell_and_class(
    folder: Path, options: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["reduce", "--frames", str(folder / "frames.nxs"), "-o", str(tmp_path / "out"), *options]
    assert guarded(lambda: app(args=arguments, standalone_mode=False)) == BAD_INPUT
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_wrong_cell_ends_the_reduction_with_a_sentence(folder: Path) -> None:
    """Last in the file: the folder is not the same afterwards."""
    wrong = "reduction.cell_angstrom_deg=[9.1, 7.3, 5.9, 90.0, 90.0, 90.0]"
    result = run_in_folder(
        folder, progress=Silent(), stages=("reduce",), overrides=[wrong, "reduction.laue=mmm"]
    )
    assert len(result.failed) == 1
    assert "is 9.1 7.3 5.9 90 90 90 the right cell?" in str(result.failed[0].failed)
