"""Series through the one door: what is written comes back, and damage ends in a sentence."""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from pipeline.io.series.images import READERS
from pipeline.io.series.nominal import Nominal
from pipeline.io.series.read import read_series
from twin.files.errors import InputError
from twin.files.exports import write_pets, write_smv
from twin.files.nxmx import write_dataset
from twin.model.dataset import Dataset
from twin.model.instrument import Beam, Detector, Microscope, Projection

REAL = Path(os.environ.get("EDTWIN_REALDATA", str(Path(__file__).parents[3].parent / "shared" / "realdata")))
GIVEN = Nominal(
    wavelength_angstrom=0.025079, camera_length_mm=300.0, pixel_size_um=55.0, tilt_axis_deg=31.0,
    alpha_start_deg=-3.0, step_deg=0.5,
)  # fmt: skip


@pytest.fixture
def series() -> Dataset:
    rng = np.random.default_rng(5)
    alpha = -3.0 + 0.5 * np.arange(6)
    return Dataset(
        counts=rng.poisson(5.0, size=(6, 20, 24)).astype(np.uint32),
        alpha_start_deg=alpha,
        alpha_end_deg=alpha + 0.5,
        exposure_s=np.ones(6),
        bad_pixels=np.zeros((20, 24), dtype=bool),
        microscope=Microscope(
            name="m",
            beam=Beam(energy_kev=200.0, diameter_nm=100.0, flux_e_per_angstrom2_s=1.0),
            detector=Detector(name="d", fast_px=24, slow_px=20, pixel_size_um=55.0),
            projection=Projection(camera_length_mm=300.0, centre_fast_px=11.2, centre_slow_px=9.7, tilt_axis_deg=31.0),
        ),
        mode="continuous",
        precession_deg=0.0,
    )


def _same(a: Dataset, b: Dataset) -> None:
    p, q = a.microscope.projection, b.microscope.projection
    assert np.array_equal(a.counts, b.counts)
    assert np.allclose(a.alpha_start_deg, b.alpha_start_deg, atol=1e-3)
    assert np.allclose(a.alpha_end_deg, b.alpha_end_deg, atol=1e-3)
    assert a.mode == b.mode
    assert a.microscope.beam.energy_kev == pytest.approx(b.microscope.beam.energy_kev, rel=1e-4)
    scale = [x.microscope.projection.camera_length_mm / x.microscope.detector.pixel_size_um for x in (a, b)]
    assert scale[0] == pytest.approx(scale[1], rel=1e-4)
    assert (p.tilt_axis_deg - q.tilt_axis_deg) % 360.0 == pytest.approx(0.0, abs=1e-3)
    assert p.centre_fast_px == pytest.approx(q.centre_fast_px, abs=0.01)
    assert p.centre_slow_px == pytest.approx(q.centre_slow_px, abs=0.01)


def test_own_series(series, tmp_path) -> None:
    _same(read_series(write_dataset(tmp_path / "frames.nxs", series)), series)


def test_own_series_without_its_seal_is_refused(series, tmp_path) -> None:
    path = write_dataset(tmp_path / "frames.nxs", series)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="seal"):
        read_series(path)


def test_pets_project(series, tmp_path) -> None:
    _same(read_series(write_pets(series, tmp_path)), series)


def test_smv(series, tmp_path) -> None:
    write_smv(series, tmp_path)
    _same(read_series(tmp_path, nominal=Nominal(tilt_axis_deg=31.0)), series)


def test_what_is_missing_is_named(series, tmp_path) -> None:
    write_smv(series, tmp_path)
    with pytest.raises(InputError, match=r"tilt_axis_deg.*--tilt-axis-deg"):
        read_series(tmp_path)


def _mrc(path: Path, counts: np.ndarray) -> None:
    header = bytearray(1024)
    header[:16] = struct.pack("<4i", counts.shape[2], counts.shape[1], counts.shape[0], 6)
    header[208:216] = b"MAP \x44\x44\x00\x00"
    path.write_bytes(bytes(header) + counts.astype("<u2").tobytes())


def test_mrc_stack(series, tmp_path) -> None:
    _mrc(tmp_path / "a.mrc", series.counts)
    found = read_series(tmp_path / "a.mrc", nominal=GIVEN)
    assert np.array_equal(found.counts, series.counts)
    assert np.allclose(found.alpha_end_deg, series.alpha_end_deg)


def test_cbf(series, tmp_path) -> None:
    from fabio.cbfimage import CbfImage

    for i, counts in enumerate(series.counts):
        CbfImage(data=counts.astype(np.int32)).write(str(tmp_path / f"f_{i + 1}.cbf"))
    assert np.array_equal(read_series(tmp_path, nominal=GIVEN).counts, series.counts)


def test_gaps_of_a_cbf_are_bad_pixels_not_counts(series, tmp_path) -> None:
    from fabio.cbfimage import CbfImage

    for i, counts in enumerate(series.counts):
        image = counts.astype(np.int32)
        image[10:13], image[3, 4] = -1, -2
        CbfImage(data=image).write(str(tmp_path / f"f_{i + 1}.cbf"))
    read = read_series(tmp_path, nominal=GIVEN)
    expected = np.zeros(read.bad_pixels.shape, dtype=bool)
    expected[10:13], expected[3, 4] = True, True
    assert np.array_equal(read.bad_pixels, expected)
    assert np.array_equal(read.counts[:, ~expected], series.counts[:, ~expected])
    assert not read.counts[:, expected].any()


def test_other_negative_counts_of_a_cbf_are_refused(series, tmp_path) -> None:
    from fabio.cbfimage import CbfImage

    image = series.counts[0].astype(np.int32)
    image[5, 6] = -3
    CbfImage(data=image).write(str(tmp_path / "f_1.cbf"))
    with pytest.raises(InputError, match="counts from -3"):
        read_series(tmp_path, nominal=GIVEN)


def test_tiff_order_is_that_of_numbers(series, tmp_path) -> None:
    counts = np.concatenate([series.counts, series.counts])
    for i, image in enumerate(counts):
        tifffile.imwrite(tmp_path / f"img{i + 1}.tif", image.astype(np.uint16))
    assert np.array_equal(read_series(tmp_path, nominal=GIVEN).counts, counts)


@pytest.mark.parametrize("value", [np.nan, -1.0, 0.5, np.inf])
def test_impossible_counts(series, tmp_path, value) -> None:
    image = series.counts[0].astype(np.float32)
    image[3, 4] = value
    tifffile.imwrite(tmp_path / "a.tif", image)
    with pytest.raises(InputError, match=r"a\.tif"):
        read_series(tmp_path / "a.tif", nominal=GIVEN)


def test_warnings_are_loud(series, tmp_path) -> None:
    counts = series.counts.copy()
    counts[2] = 0
    counts[4] *= 100
    for i, image in enumerate(counts):
        tifffile.imwrite(tmp_path / f"img{i + 1}.tif", image.astype(np.uint16))
    said: list[str] = []
    read_series(tmp_path, nominal=GIVEN, warn=said.append)
    assert any("no manifest" in s for s in said)
    assert any("frames 3 hold no counts" in s for s in said)
    assert any("frames 5 have totals" in s for s in said)


@pytest.mark.parametrize("kind", ["smv", "tiff", "mrc"])
def test_no_damage_passes_a_manifest(series, tmp_path, kind) -> None:
    """Flipped bits, cut and empty files: with sums beside the frames nothing is read."""
    if kind == "smv":
        write_smv(series, tmp_path)
    elif kind == "tiff":
        for i, image in enumerate(series.counts):
            tifffile.imwrite(tmp_path / f"img{i + 1}.tif", image.astype(np.uint16))
    else:
        _mrc(tmp_path / "a.mrc", series.counts)
    files = sorted(f for f in tmp_path.iterdir() if f.suffix in READERS)
    sums = "".join(f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in files)
    (tmp_path / "SHA256SUMS").write_text(sums)
    target = tmp_path if kind != "mrc" else tmp_path / "a.mrc"
    given = replace(GIVEN, alpha_start_deg=None, step_deg=None) if kind == "smv" else GIVEN
    assert np.array_equal(read_series(target, nominal=given).counts, series.counts)
    rng = np.random.default_rng(8)
    for n in range(60):
        victim = files[int(rng.integers(len(files)))]
        whole = victim.read_bytes()
        damaged = bytearray(whole)
        if n % 3 == 0:
            damaged = damaged[: int(rng.integers(len(whole)))]
        else:
            damaged[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
        victim.write_bytes(bytes(damaged))
        with pytest.raises(InputError):
            read_series(target, nominal=given)
        victim.write_bytes(whole)


@pytest.mark.parametrize("kind", ["smv", "tiff", "mrc"])
def test_without_manifest_damage_is_a_sentence_or_a_warning(series, tmp_path, kind) -> None:
    rng = np.random.default_rng(9)
    write_smv(replace(series, counts=series.counts[:1]), tmp_path)
    smv = next(tmp_path.glob("*.img")).read_bytes()
    tifffile.imwrite(tmp_path / "a.tif", series.counts[0].astype(np.uint16))
    _mrc(tmp_path / "a.mrc", series.counts)
    whole = {"smv": smv, "tiff": (tmp_path / "a.tif").read_bytes(), "mrc": (tmp_path / "a.mrc").read_bytes()}[kind]
    victim = tmp_path / {"smv": "x.img", "tiff": "x.tif", "mrc": "x.mrc"}[kind]
    for n in range(150):
        damaged = bytearray(whole)
        if n % 3 == 0:
            damaged = damaged[: int(rng.integers(len(whole)))]
        else:
            for _ in range(4):
                damaged[int(rng.integers(min(len(whole), 1200)))] ^= 1 << int(rng.integers(8))
        victim.write_bytes(bytes(damaged))
        said: list[str] = []
        try:
            found = read_series(victim, nominal=GIVEN, warn=said.append)
        except InputError:
            continue
        assert any("no manifest" in s for s in said)
        assert np.all(np.isfinite(found.alpha_start_deg))


@pytest.mark.realdata
def test_glycine_image_and_project(tmp_path) -> None:
    base = REAL / "glycine_pets"
    if not base.is_dir():
        pytest.skip(f"{base} is not there")
    with pytest.raises(InputError, match="00001"):
        read_series(base / "glycine.pts")  # its folder of images is not in the deposit
    one = read_series(base / "00001.tiff", nominal=GIVEN)
    assert one.counts.shape == (1, 516, 516)


@pytest.mark.realdata
def test_cinchonine_log() -> None:
    path = REAL / "cinchonine" / "diff_raw_405x512x512_u16.h5"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    found = read_series(path)
    p = found.microscope.projection
    assert p.camera_length_mm == pytest.approx(443.0, abs=0.1)  # XDS.INP
    assert p.tilt_axis_deg == pytest.approx(-38.0)
    assert found.microscope.beam.energy_kev == pytest.approx(200.0, abs=0.1)
    assert found.counts.shape == (405, 514, 514)  # two rows and columns put in between the chips
