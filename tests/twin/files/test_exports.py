"""PETS and SMV folders hold the counts and the geometry of the series, in the conventions of their programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import fabio
import numpy as np
import pytest
import tifffile

from twin.files.errors import InputError
from twin.files.exports import angstrom_per_pixel, smv_axis, write_pets, write_smv
from twin.model.dataset import Dataset
from twin.physics.projection import pixels_from_g


def _keys(project: Path) -> dict[str, list[str]]:
    lines = [line.split() for line in project.read_text().split("imagelist")[0].splitlines() if line]
    return {words[0]: words[1:] for words in lines}


def test_pets_folder(tmp_path: Path, small_dataset: Dataset) -> None:
    project = write_pets(small_dataset, tmp_path, name="small")
    keys = _keys(project)
    assert keys["geometry"] == ["precession"]
    assert float(keys["omega"][0]) == pytest.approx(37.5)  # ω = −φ
    assert float(keys["phi"][0]) == pytest.approx(1.2)
    assert [float(v) for v in keys["center"]] == pytest.approx([12.25, 10.5])  # counted from 1
    listed = project.read_text().split("imagelist\n")[1].splitlines()
    for index, line in enumerate(listed[:-1]):
        name, alpha, beta = line.split()
        image = tifffile.imread(tmp_path / name.replace("\\", "/"))
        assert image.dtype == np.uint16
        np.testing.assert_array_equal(image, small_dataset.counts[index])
        assert (float(alpha), float(beta)) == (pytest.approx(small_dataset.alpha_mid_deg[index]), 0.0)
    assert len(listed) == 6


def test_pets_keys_are_those_of_a_real_project(tmp_path: Path, small_dataset: Dataset) -> None:
    root = Path(os.environ.get("EDTWIN_REALDATA", Path(__file__).parents[4] / "shared" / "realdata"))
    real = root / "glycine_pets" / "glycine.pts"
    if not real.exists():
        pytest.skip(f"measured data are not at {root}")
    known = {line.split()[0] for line in real.read_text().splitlines() if line.strip()}
    assert set(_keys(write_pets(small_dataset, tmp_path))) <= known


def test_size_of_a_pixel_in_reciprocal_space(small_dataset: Dataset) -> None:
    g = 1e-3
    x = pixels_from_g(g_xy=[g, 0.0], microscope=small_dataset.microscope)[0]
    moved_px = x - small_dataset.microscope.projection.centre_fast_px
    assert angstrom_per_pixel(small_dataset) == pytest.approx(g / moved_px, rel=1e-6)


def test_counts_beyond_sixteen_bits_become_overload(tmp_path: Path, small_dataset: Dataset) -> None:
    counts = small_dataset.counts.copy()
    counts[2, 4, 5] = 70_000
    write_pets(replace(small_dataset, counts=counts), tmp_path)
    image = tifffile.imread(tmp_path / "tiff" / "00003.tif")
    assert image[4, 5] == 65535
    assert np.count_nonzero(image != counts[2]) == 1


def test_smv_is_read_by_fabio(tmp_path: Path, small_dataset: Dataset) -> None:
    for index, path in enumerate(write_smv(small_dataset, tmp_path)):
        image = fabio.open(str(path))
        np.testing.assert_array_equal(image.data, small_dataset.counts[index])
        assert float(image.header["OSC_START"]) == pytest.approx(small_dataset.alpha_mid_deg[index] - 1.0)
        assert float(image.header["OSC_RANGE"]) == pytest.approx(2.0)


def test_names_cannot_leave_the_folder(tmp_path: Path, small_dataset: Dataset) -> None:
    with pytest.raises(InputError):
        write_pets(small_dataset, tmp_path / "in", name="../out")
    with pytest.raises(InputError):
        write_smv(small_dataset, tmp_path / "in", prefix="../../out")
    assert not list(tmp_path.glob("*.pts"))


@pytest.mark.skipif(shutil.which("dials.import") is None, reason="DIALS (Debian package dials) is not here")
@pytest.mark.parametrize("backwards", [False, True])
def test_dials_sees_the_same_geometry_in_smv(tmp_path: Path, small_dataset: Dataset, backwards: bool) -> None:
    alpha = small_dataset.alpha_start_deg * (-1.0 if backwards else 1.0)
    dataset = replace(small_dataset, alpha_start_deg=alpha, alpha_end_deg=alpha)
    write_smv(dataset, tmp_path)
    axis = ",".join(f"{value:.9f}" for value in smv_axis(dataset))
    subprocess.run(
        ["dials.import", "template=frame_#####.img", f"geometry.goniometer.axes={axis}"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        check=True,
        capture_output=True,
        timeout=120,
    )
    models = json.loads((tmp_path / "imported.expt").read_text())
    turn = np.diag([1.0, -1.0, -1.0])  # from the axes of SMV in dxtbx to ours
    sign = -1.0 if backwards else 1.0
    phi = np.radians(-37.5)
    goniometer = turn @ models["goniometer"][0]["rotation_axis"]
    np.testing.assert_allclose(goniometer, sign * np.array([np.cos(phi), np.sin(phi), 0.0]), atol=1e-6)
    panel = models["detector"][0]["panels"][0]
    np.testing.assert_allclose(turn @ panel["fast_axis"], [1.0, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(turn @ panel["slow_axis"], [0.0, 1.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(turn @ panel["origin"], [-0.055 * 11.75, -0.055 * 10.0, 650.0], atol=1e-5)
    assert models["scan"][0]["oscillation"] == pytest.approx([-5.0, 2.0])
