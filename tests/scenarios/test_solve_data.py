"""``edtwin solve --data``: a list of intensities from elsewhere, a formula, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import gemmi
import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.io.shelx import shelx_text
from scenarios.cli.app import app
from twin.files.cif import read_crystal
from twin.files.errors import InputError
from twin.model.crystal import Crystal
from twin.physics.lattice import miller_indices, reciprocal_matrix
from twin.physics.structure_factors import structure_factors
from validation.compare import compare_structures
from validation.realdata import data_folder
from validation.reference import RUTILE

CELL = "4.594 4.594 2.959 90 90 90"


def _list(crystal: Crystal, path: Path, *, noise: float = 0.1) -> Path:
    hkl = miller_indices(reciprocal=reciprocal_matrix(crystal.cell), g_max_per_angstrom=1.6)
    hkl = hkl[hkl.any(axis=1)]
    f = np.abs(structure_factors(crystal=crystal, hkl=hkl))
    intensity = 1e4 * (f / f.max()) ** 2
    rng = np.random.default_rng(5)
    sigma = noise * intensity + 1.0
    path.write_text(shelx_text(hkl=hkl, intensity=intensity + sigma * rng.standard_normal(len(f)), sigma=sigma))
    return path


def _edtwin(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.exit_code, result.output


def test_rutile_comes_back_from_a_list_in_its_group(tmp_path: Path) -> None:
    data, out = _list(RUTILE, tmp_path / "rutile.hkl"), tmp_path / "out"
    code, said = _edtwin("solve", "--data", data, "--composition", "TiO2", "--cell", CELL, "-o", out)
    assert code == 0, said
    summary = json.loads((out / "summary.json").read_text())
    assert summary["solved"]
    assert summary["laue_hall"] == "-P 4 2"
    assert summary["completeness_percent"] == 100.0
    found = read_crystal(out / "solution.cif")
    assert gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(found.hall)).number == 136
    assert compare_structures(RUTILE, found).max_distance_angstrom < 0.03
    assert "P 42/m n m" in (out / "report.html").read_text()
    assert (out / "solution.res").is_file()
    assert (out / "solution.ccp4").is_file()


def test_results_in_a_folder_are_not_replaced_unasked(tmp_path: Path) -> None:
    data, out = _list(RUTILE, tmp_path / "rutile.hkl"), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(Exception, match="not empty"):
        CliRunner().invoke(
            app,
            ["solve", "--data", str(data), "--composition", "TiO2", "--cell", CELL, "-o", str(out)],
            catch_exceptions=False,
        )
    assert (out / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--composition", "TiO2"), "give it with --cell"),
        (("--composition", "Xx2", "--cell", CELL), "--composition"),
        (("--composition", "TiO2", "--cell", "1 2 3"), "six numbers"),
        (("--composition", "TiO2", "--cell", CELL, "--d-min", "9"), "0.2 to 3"),
        (("--composition", "TiO2", "--cell", CELL, "--d-min", "2.9"), "at least"),
        (("--cell", CELL), "--composition"),
    ],
)
def test_what_is_missing_or_absurd_is_said(tmp_path: Path, arguments: tuple[str, ...], reason: str) -> None:
    data, out = _list(RUTILE, tmp_path / "rutile.hkl"), tmp_path / "out"
    with pytest.raises(Exception, match=reason):
        CliRunner().invoke(app, ["solve", "--data", str(data), "-o", str(out), *arguments], catch_exceptions=False)
    assert not out.exists() or not any(out.iterdir())


def test_measured_quartz_is_solved_from_its_frames(tmp_path: Path) -> None:
    data = data_folder() / "quartz_pets" / "quartz_exp_data.cif_pets"
    if not data.is_file():
        pytest.skip(f"no measured data in {data_folder()}")
    code, said = _edtwin("solve", "--data", data, "--composition", "SiO2", "-o", tmp_path / "out")
    assert code == 0, said
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["laue_hall"] == '-P 3 2"'
    group = gemmi.find_spacegroup_by_ops(
        gemmi.symops_from_hall(read_crystal(tmp_path / "out" / "solution.cif").hall)
    )
    assert group.number in (152, 154)


def test_options_of_charge_flipping_are_used_and_written_down(tmp_path: Path) -> None:
    data = _list(RUTILE, tmp_path / "rutile.hkl")
    arguments = ("solve", "--data", data, "--composition", "TiO2", "--cell", CELL)
    sets = ("--set", "normalise=F", "--set", "missing=zero", "--set", "repeat=always", "--starts", "6", "--seed", "4")
    code, said = _edtwin(*arguments, *sets, "-o", tmp_path / "chosen")
    assert code == 0, said
    used = json.loads((tmp_path / "chosen" / "summary.json").read_text())
    assert used["seed"] == 4
    assert used["options"] == {
        "starts": 6, "delta": 1.05, "normalise": "F", "missing": "zero", "bound_e": 0.8, "weak_share": 0.3,
        "cycles": 135, "polish": 8, "repeat": "always",
    }  # fmt: skip
    assert (tmp_path / "chosen" / "report.html").read_text().count("<tr><td>6</td>") >= 1  # all six starts were made


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        ("delta=7", "delta is 7; allowed are 0.1 to 5"),
        ("delta=much", "delta is 'much'; it must be a number"),
        ("missing=fill", "missing is 'fill'; allowed are bound, float, zero"),
        ("flip=1", "--set flip=1: the form is KEY=VALUE with one of bound_e, cycles, delta, missing, normalise"),
    ],
)
def test_a_wrong_option_is_one_sentence(tmp_path: Path, sets: str, sentence: str) -> None:
    data = _list(RUTILE, tmp_path / "rutile.hkl")
    with pytest.raises(InputError, match=re.escape(sentence)):
        CliRunner().invoke(
            app,
            ["solve", "--data", str(data), "--composition", "TiO2", "--cell", CELL, "--set", sets,
             "-o", str(tmp_path / "out")],
            catch_exceptions=False,
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_starts_and_seed_of_a_run_folder_are_the_scenarios(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape("--set solution.starts=20")):
        CliRunner().invoke(app, ["solve", "ito-01", "--starts", "20"], catch_exceptions=False)
