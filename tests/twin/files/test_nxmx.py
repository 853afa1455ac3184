"""frames.nxs: round trip, resume, and damage that never goes unnoticed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest

from twin.files.errors import InputError
from twin.files.frames import frame_path
from twin.files.nxmx import SeriesRecorder, read_dataset, write_dataset
from twin.model.dataset import Dataset
from twin.model.instrument import Microscope
from twin.physics.electrons import wavelength_angstrom


def _recorder(path: Path, dataset: Dataset, **changes: object) -> SeriesRecorder:
    settings: dict[str, object] = {
        "microscope": dataset.microscope,
        "mode": dataset.mode,
        "precession_deg": dataset.precession_deg,
        "frame_count": len(dataset.counts),
        "bad_pixels": dataset.bad_pixels,
        "name": dataset.name,
    }
    return SeriesRecorder(path, **{**settings, **changes})  # type: ignore[arg-type]


def _record(recorder: SeriesRecorder, dataset: Dataset, index: int) -> None:
    recorder.record(
        index=index,
        counts=dataset.counts[index],
        alpha_start_deg=dataset.alpha_start_deg[index],
        alpha_end_deg=dataset.alpha_end_deg[index],
        exposure_s=dataset.exposure_s[index],
    )


def assert_same(a: Dataset, b: Dataset) -> None:
    for field in dataclasses.fields(Dataset):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
        else:
            assert left == right


def test_what_is_recorded_is_read_back(tmp_path: Path, small_dataset: Dataset) -> None:
    recorder = _recorder(tmp_path / "frames.nxs", small_dataset)
    for index in range(5):
        _record(recorder, small_dataset, index)
    assert_same(read_dataset(recorder.complete()), small_dataset)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["frames.nxs"]


def test_recorder_and_whole_writer_make_the_same_bytes(tmp_path: Path, small_dataset: Dataset) -> None:
    recorder = _recorder(tmp_path / "frames.nxs", small_dataset)
    for index in (3, 0, 4, 1, 2):
        _record(recorder, small_dataset, index)
    whole = write_dataset(tmp_path / "other.nxs", small_dataset)
    assert recorder.complete().read_bytes() == whole.read_bytes()


def test_a_series_goes_on_after_an_interruption(tmp_path: Path, small_dataset: Dataset) -> None:
    path = tmp_path / "frames.nxs"
    first = _recorder(path, small_dataset)
    for index in (0, 1, 2):
        _record(first, small_dataset, index)
    with pytest.raises(InputError, match="lacks frame 3"):
        first.complete()
    damaged = frame_path(first.part, 1)
    raw = bytearray(damaged.read_bytes())
    raw[len(raw) // 2] ^= 4
    damaged.write_bytes(raw)
    again = _recorder(path, small_dataset)
    assert again.missing == (1, 3, 4)
    assert damaged.with_suffix(".corrupt").exists()
    for index in again.missing:
        _record(again, small_dataset, index)
    assert_same(read_dataset(again.complete()), small_dataset)


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"precession_deg": 1.0}, "precession_deg"), ({"frame_count": 6}, "frame_count"), ({"mode": "stills"}, "mode")],
)
def test_a_part_is_not_mixed_with_other_settings(
    tmp_path: Path, small_dataset: Dataset, changes: dict[str, object], key: str
) -> None:
    _record(_recorder(tmp_path / "frames.nxs", small_dataset), small_dataset, 0)
    with pytest.raises(InputError, match=key):
        _recorder(tmp_path / "frames.nxs", small_dataset, **changes)


def test_frames_that_are_none_are_refused(tmp_path: Path, small_dataset: Dataset) -> None:
    recorder = _recorder(tmp_path / "frames.nxs", small_dataset)
    good = {"index": 0, "alpha_start_deg": 0.0, "alpha_end_deg": 0.0, "exposure_s": 1.0}
    for counts, words in (
        (np.zeros((20, 24)), "integer"),
        (np.zeros((24, 20), dtype=np.uint16), "shape"),
        (np.full((20, 24), -1), "outside"),
    ):
        with pytest.raises(InputError, match=words):
            recorder.record(counts=counts, **good)
    with pytest.raises(InputError, match="finite"):
        recorder.record(counts=small_dataset.counts[0], **{**good, "alpha_end_deg": np.nan})
    with pytest.raises(InputError, match="outside the series"):
        recorder.record(counts=small_dataset.counts[0], **{**good, "index": 5})
    assert recorder.recorded == 0


def test_a_finished_series_is_not_overwritten(tmp_path: Path, small_dataset: Dataset) -> None:
    path = write_dataset(tmp_path / "frames.nxs", small_dataset)
    with pytest.raises(InputError, match="exists already"):
        _recorder(path, small_dataset)


def test_truncated_files_are_refused(tmp_path: Path, small_dataset: Dataset) -> None:
    raw = write_dataset(tmp_path / "frames.nxs", small_dataset).read_bytes()
    damaged = tmp_path / "damaged.nxs"
    for length in np.linspace(0, len(raw) - 1, 60).astype(int):
        damaged.write_bytes(raw[:length])
        with pytest.raises(InputError, match=r"damaged\.nxs"):
            read_dataset(damaged)


@pytest.mark.parametrize("kind", ["flipped bit", "zeroed block"])
def test_damage_is_never_silent(tmp_path: Path, small_dataset: Dataset, kind: str) -> None:
    raw = write_dataset(tmp_path / "frames.nxs", small_dataset).read_bytes()
    damaged = tmp_path / "damaged.nxs"
    generator = np.random.default_rng(11)
    for _ in range(250):
        body = bytearray(raw)
        at = int(generator.integers(len(raw)))
        if kind == "flipped bit":
            body[at] ^= 1 << int(generator.integers(8))
        else:
            body[at : at + 256] = bytes(len(body[at : at + 256]))
        damaged.write_bytes(body)
        if bytes(body) != raw:
            with pytest.raises(InputError, match=r"damaged\.nxs"):
                read_dataset(damaged)


def test_counts_swapped_inside_a_valid_file_are_found(tmp_path: Path, small_dataset: Dataset) -> None:
    path = write_dataset(tmp_path / "frames.nxs", small_dataset)
    with h5py.File(path, "r+") as file:
        data = file["entry/data/data"]
        data[0], data[1] = data[1], data[0]
    with pytest.raises(InputError, match="changed"):
        read_dataset(path)
    assert len(read_dataset(path, verify=False).counts) == 5


def test_a_changed_angle_or_setting_is_found(tmp_path: Path, small_dataset: Dataset) -> None:
    for name in ("entry/edtwin/alpha_start_deg", "entry/sample/transformations/alpha", "entry/edtwin/exposure_s"):
        path = write_dataset(tmp_path / "frames.nxs", small_dataset)
        with h5py.File(path, "r+") as file:
            file[name][2] += 0.25
        with pytest.raises(InputError, match="changed"):
            read_dataset(path)


def test_a_file_without_its_completion_mark_is_refused(tmp_path: Path, small_dataset: Dataset) -> None:
    path = write_dataset(tmp_path / "frames.nxs", small_dataset)
    with h5py.File(path, "r+") as file:
        del file["entry/edtwin"].attrs["complete"]
    with pytest.raises(InputError, match="not complete"):
        read_dataset(path, verify=False)


def test_foreign_and_absent_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.nxs").write_text("no HDF5 here")
    with h5py.File(tmp_path / "foreign.nxs", "w") as file:
        file["entry/data/data"] = np.zeros((2, 3, 4))
    words_of = {"text.nxs": "no HDF5 file", "foreign.nxs": "no sealed series", "absent.nxs": "cannot be read"}
    for name, words in words_of.items():
        with pytest.raises(InputError, match=words):
            read_dataset(tmp_path / name)


def test_geometry_in_the_file_is_that_of_the_conventions(
    tmp_path: Path, small_dataset: Dataset, small_microscope: Microscope
) -> None:
    projection = small_microscope.projection
    with h5py.File(write_dataset(tmp_path / "frames.nxs", small_dataset)) as file:
        entry = file["entry"]
        assert entry["definition"].asstr()[()] == "NXmx"
        assert entry["source/probe"].asstr()[()] == "electron"
        assert entry["instrument/beam/incident_wavelength"][()] == wavelength_angstrom(energy_kev=200.0)
        axis = entry["sample/transformations/alpha"].attrs["vector"]
        phi = np.radians(projection.tilt_axis_deg)
        np.testing.assert_allclose(axis, [np.cos(phi), np.sin(phi), 0.0], atol=1e-15)
        module = entry["instrument/detector/module"]
        offset = module["module_offset"][()] * module["module_offset"].attrs["vector"]
        # the direct beam, in mm from the corner of pixel (0, 0), lies on the z axis
        direct = offset + 0.055 * np.array([projection.centre_fast_px + 0.5, projection.centre_slow_px + 0.5, 0.0])
        np.testing.assert_allclose(direct, 0.0, atol=1e-12)
        # stepwise frames: one step wide and centred for rotation programs, unchanged in our own record
        alpha, end = entry["sample/transformations/alpha"][()], entry["sample/transformations/alpha_end"][()]
        np.testing.assert_allclose(0.5 * (alpha + end), small_dataset.alpha_start_deg)
        np.testing.assert_allclose(end - alpha, 2.0)
        np.testing.assert_array_equal(entry["edtwin/alpha_end_deg"][()], small_dataset.alpha_end_deg)
