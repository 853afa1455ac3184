"""`edtwin reduce --frames`: measured frames without a twin, from a file to reflections, formats and a page."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import gemmi
import numpy as np
import pytest

from pipeline.io.cif_pets import read_cif_pets
from pipeline.io.shelx import parse_shelx
from pipeline.types import Orientation
from scenarios.cli.app import app
from scenarios.cli.exits import guarded
from scenarios.persist import load_json
from twin.files.nxmx import write_dataset

SYNTHETIC = Path(__file__).resolve().parents[1] / "pipeline" / "reduction" / "synthetic.py"
OUTPUTS = (
    "peaks.npz",
    "orientation.json",
    "reflections.npz",
    "merged.npz",
    "reflections_dyn.cif_pets",
    "reflections_kin.cif_pets",
    "kinematical.hkl",
    "merged.mtz",
    "reduce.log",
    "reduction.html",
)


def _run(*arguments: str) -> int:
    return guarded(lambda: app(args=list(arguments), standalone_mode=False))


def _synthetic() -> ModuleType:
    name = "edtwin_tests_reduce_frames_synthetic"
    spec = importlib.util.spec_from_file_location(name, SYNTHETIC)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = _synthetic()
    series = made.make_series(
        crystal=made.BROOKITE, frames=24, diameter_angstrom=150.0, size_px=320, per_px=0.0115, seed=11, g_max=1.5
    )
    path = tmp_path_factory.mktemp("frames") / "series.nxs"
    write_dataset(path, series.dataset)
    return path


@pytest.fixture(scope="module")
def reduced(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reduced")
    assert _run("reduce", "--frames", str(frames), "-o", str(out)) == 0
    return out


def test_everything_is_written(reduced: Path) -> None:
    assert sorted(p.name for p in reduced.iterdir()) == sorted(OUTPUTS)


def test_all_formats_hold_the_same_reflections(reduced: Path) -> None:
    merged = np.load(reduced / "merged.npz", allow_pickle=False)
    shelx = parse_shelx((reduced / "kinematical.hkl").read_text())
    assert {tuple(h) for h in shelx.hkl.tolist()} == {tuple(h) for h in merged["hkl"].tolist()}
    mtz = gemmi.read_mtz_file(str(reduced / "merged.mtz"))
    assert mtz.nreflections == len(merged["hkl"])
    table = np.array(mtz, copy=False)
    assert np.corrcoef(np.sort(table[:, 3]), np.sort(merged["intensity"]))[0, 1] > 0.999999
    pets = read_cif_pets(reduced / "reflections_dyn.cif_pets")
    assert len(pets.zones) == 24


def test_the_page_shows_every_figure_and_nothing_from_elsewhere(reduced: Path) -> None:
    page = (reduced / "reduction.html").read_text(encoding="utf-8")
    for title in ("Spots over frames", "Tilt axis", "Cell", "Distortion", "Frames", "Rocking curve", "Sections"):
        assert f"<h2>{title}</h2>" in page
    assert page.count("data:image/svg+xml;base64,") == 9
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "CC½" in page


def test_cell_and_class(reduced: Path) -> None:
    lattice = load_json(Orientation, reduced / "orientation.json")
    assert lattice.hall == "-P 2 2"
    lengths = np.sort(lattice.cell.parameters[:3]) / np.sort([9.174, 5.449, 5.138])
    assert np.allclose(lengths / lengths.mean(), 1.0, atol=0.001)


def test_a_known_cell_and_a_map(frames: Path, tmp_path: Path) -> None:
    """The cell keeps the axes and the shape that were given; the map is a CCP4 file of reciprocal space."""
    out = tmp_path / "known"
    cell = "5.138 9.174 5.449 90 90 90"
    assert _run("reduce", "--frames", str(frames), "-o", str(out), "--cell", cell, "--map") == 0
    assert sorted(p.name for p in out.iterdir()) == sorted([*OUTPUTS, "reciprocal.ccp4"])
    lengths = np.array(load_json(Orientation, out / "orientation.json").cell.parameters[:3])
    assert np.ptp(lengths / [5.138, 9.174, 5.449]) < 1e-6
    assert gemmi.read_ccp4_map(str(out / "reciprocal.ccp4")).grid.point_count > 1e5
    page = (out / "reduction.html").read_text(encoding="utf-8")
    assert "<h2>Reciprocal space</h2>" in page
    assert "known cell: oriented" in page
