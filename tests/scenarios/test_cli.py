"""The command: quick answers, one-sentence errors, exit codes, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scenarios.cli.app import app
from scenarios.cli.exits import BAD_INPUT, guarded
from twin.files.cif import write_crystal
from twin.model.crystal import Cell, Crystal, Site

MATERIALS = Path(__file__).resolve().parents[2] / "scenarios" / "library" / "materials"


def _run(*arguments: str) -> int:
    return guarded(lambda: app(args=list(arguments), standalone_mode=False))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "nothing"), "neither a scenario of the library"),
        (("run", "ito-1"), "did you mean ito-01?"),
        (("run", "ito-01", "--set", "status=planned"), "ito-01 cannot be run: its acquisition is not built yet"),
        (("simulate", "ito-01", "--set", "status=planned"), "not built yet"),
        (("run", "ito-01", "--set", "particle.sise_nm=3"), "did you mean size_nm"),
        (("run", "ito-01", "--set", "acquisition.step_deg=inf"), "finite"),
        (("run", "ito-01", "--workers", "0"), "--workers"),
        (("run",), "Missing argument"),
        (("show", "ito-01", "--frob"), "No such option"),
        (("frob",), "No such command"),
        (("report", "."), "is not a run folder"),
        (("reduce", "."), "is not a run folder"),
        (("compare", "a.cif", "b.cif"), "a.cif"),
        (("compare", "a.cif", "b.cif", "--mode", "worst"), "--mode is 'worst'; allowed are best, bcs"),
        (("reduce",), "or --frames PATH"),
        (("reduce", "--frames", "nothing.nxs"), "nothing.nxs"),
        (("reduce", "ito-01", "--frames", "nothing.nxs"), "not both"),
        (("reduce", "--frames", "x.nxs", "--mode", "sideways"), "allowed are"),
        (("reduce", "--frames", "x.nxs", "--centring", "X"), "allowed are P, A, B, C, I, F and R"),
    ],
)
def test_an_error_is_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...],
    says: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run(*arguments) == BAD_INPUT
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.startswith("edtwin: ")
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []  # nothing was written


def test_the_library_is_listed_with_frames_and_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ito-03") and "812" in line and "ready" in line for line in lines)
    assert any(line.startswith("ito-01") and "40" in line and "ready" in line for line in lines)


def test_a_scenario_is_shown_as_it_would_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("show", "ito-01", "--set", "particle.size_nm=[6,6,6]") == 0
    shown = capsys.readouterr().out
    assert "size_nm = [6.0, 6.0, 6.0]" in shown
    assert 'name = "ito-01"' in shown


def test_two_structures_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("compare", str(MATERIALS / "anatase.cif"), str(MATERIALS / "anatase.cif")) == 0
    assert "largest 0.0000 Å" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("mode", "figures"), [("bcs", ("mean 0.8733", "largest 1.0159", "Δ = 0.387")), ("best", ("mean 0.0",))]
)
def test_structures_are_compared_as_compstru_does_when_asked(
    mode: str, figures: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CdWO4 against MnWO4, the worked example of de la Flor et al. (2016)."""
    atoms = {
        "cd": ((7.6269, 5.0780, 5.8670, 138.79), (("Cd1", "Cd", (0.5, 0.302, 0.25)), ("W1", "W", (0.0, 0.1784, 0.25)),
               ("O1", "O", (0.811, 0.901, 0.265)), ("O2", "O", (0.75, 0.36, 0.143)))),
        "mn": ((4.8237, 5.7552, 5.0019, 91.0838), (("Mn1", "Mn", (0.5, 0.6849, 0.25)), ("W1", "W", (0.0, 0.1798, 0.25)),
               ("O1", "O", (0.2105, 0.1024, 0.9412)), ("O2", "O", (0.2503, 0.3744, 0.3938)))),
    }  # fmt: skip
    for name, ((a, b, c, beta), sites) in atoms.items():
        cell = Cell(a_angstrom=a, b_angstrom=b, c_angstrom=c, alpha_deg=90.0, beta_deg=beta, gamma_deg=90.0)
        write_crystal(Crystal(name=name, cell=cell, hall="-P 2yc", sites=tuple(
            Site(label=label, element=element, fract=fract) for label, element, fract in sites)),
            tmp_path / f"{name}.cif")  # fmt: skip
    assert _run("compare", str(tmp_path / "cd.cif"), str(tmp_path / "mn.cif"), "--mode", mode) == 0
    said = capsys.readouterr().out
    assert all(figure in said for figure in figures), said


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run() == 0
    assert _run("--help") == 0
    assert "Digital twin" in capsys.readouterr().out


def test_the_installed_command_has_the_same_exit_codes() -> None:
    code = "from scenarios.cli import main; main(['run', 'ito-01', '--set', 'status=planned'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
