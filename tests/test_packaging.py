"""The five top-level names are ours, the wheel holds the library, and the command starts quickly."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("twin", "pipeline", "hardware", "scenarios", "validation")


@pytest.mark.parametrize("name", PACKAGES)
def test_no_foreign_module_stands_in_our_way(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve().is_relative_to(ROOT)


def test_the_wheel_is_told_of_every_package() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert tuple(table["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == PACKAGES
    assert table["project"]["scripts"]["edtwin"] == "scenarios.cli:main"


def test_the_wheel_ships_scenarios_instruments_and_materials(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed here")
    from hatchling.builders.wheel import WheelBuilder

    wheel = Path(next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])))
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    library = ROOT / "scenarios" / "library"
    wanted = {p.relative_to(ROOT).as_posix() for p in library.rglob("*") if p.suffix in (".toml", ".cif")}
    assert wanted
    assert wanted <= inside
    assert not any(name.startswith(("tests/", "docs/")) for name in inside)


def test_listing_the_library_is_quick_and_loads_no_heavy_library() -> None:
    code = (
        "import sys\nfrom scenarios.cli.app import app\nfrom scenarios.cli.exits import guarded\n"
        "assert guarded(lambda: app(args=['list'], standalone_mode=False)) == 0\n"
        "heavy = {'numba', 'scipy', 'matplotlib', 'h5py', 'ase', 'gemmi', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ito-01" in done.stdout
    assert time.perf_counter() - started < 5.0  # under 1.5 s when nothing else runs
