"""HDF5: our own sealed series, NXmx of others, and bare stacks; and the log of a cRED acquisition beside a stack."""

from __future__ import annotations

from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  (registers the filters)
import numpy as np

from pipeline.io.series.images import as_counts, number
from pipeline.io.series.nominal import Nominal, RawSeries
from twin.files.errors import InputError

_STACKS = ("entry/data/data", "data", "frames")
LOG = "cRED_log.txt"


def is_ours(path: Path) -> bool:
    """Whether the file was written by :mod:`twin.files.nxmx`."""
    try:
        with path.open("rb") as file:
            file.seek(-40, 2)
            return b"EDTSEAL1" in file.read()
    except OSError:
        return False


def read_stack(path: Path) -> RawSeries:
    """Frames and what NXmx fields or a log say."""
    try:
        with h5py.File(path, "r") as file:
            if "entry/edtwin" in file:
                raise InputError(f"{path}: a series of edtwin whose seal is missing; the file was changed or cut")
            stack = _stack(file, path)
            counts = as_counts(stack[()], source=path)
            found, start, end = _nexus(file, path)
            mask = file.get("entry/instrument/detector/pixel_mask")
            bad = None if mask is None else np.asarray(mask[()]) != 0
    except InputError:
        raise
    except Exception as error:  # h5py raises many kinds for damaged files
        raise InputError(f"{path}: not a readable HDF5 file ({str(error)[:80] or type(error).__name__})") from None
    if bad is not None and bad.shape != counts.shape[1:]:
        raise InputError(f"{path}: pixel_mask is {bad.shape}, the frames are {counts.shape[1:]}")
    log = path.parent / LOG
    if found == Nominal() and log.is_file():
        found = read_cred_log(log)
    return RawSeries(counts=counts, found=found, source=path, bad_pixels=bad, alpha_start_deg=start, alpha_end_deg=end)


def _stack(file: h5py.File, path: Path) -> h5py.Dataset:
    for name in _STACKS:
        if isinstance(file.get(name), h5py.Dataset) and file[name].ndim == 3:
            return file[name]
    found: list[str] = []
    file.visititems(lambda n, o: found.append(n) if isinstance(o, h5py.Dataset) and o.ndim == 3 else None)
    if len(found) != 1:
        raise InputError(f"{path}: {len(found)} data sets with three dimensions; one is needed, or one of {_STACKS}")
    return file[found[0]]


def _value(file: h5py.File, path: Path, *names: str, factor: float = 1.0) -> float | None:
    for name in names:
        node = file.get(name)
        if isinstance(node, h5py.Dataset):
            value = float(np.asarray(node[()], dtype=np.float64).reshape(-1)[0]) * factor
            if not np.isfinite(value):
                raise InputError(f"{path}: {name} is not finite")
            return value
    return None


def _nexus(file: h5py.File, path: Path) -> tuple[Nominal, np.ndarray | None, np.ndarray | None]:
    detector = "entry/instrument/detector/"
    x = _value(file, path, detector + "beam_center_x")
    y = _value(file, path, detector + "beam_center_y")
    saturation = _value(file, path, detector + "saturation_value")
    found = Nominal(
        wavelength_angstrom=_value(
            file, path, "entry/instrument/beam/incident_wavelength", "entry/sample/beam/incident_wavelength"
        ),
        camera_length_mm=_value(file, path, detector + "distance", detector + "detector_distance", factor=1e3),
        pixel_size_um=_value(file, path, detector + "x_pixel_size", factor=1e6),
        centre_fast_px=None if x is None else x - 0.5,
        centre_slow_px=None if y is None else y - 0.5,
        exposure_s=_value(file, path, detector + "count_time"),
        counter_max=None if saturation is None else int(saturation),
    )
    group = "entry/sample/transformations/"
    for name in ("alpha", "omega", "phi"):
        if isinstance(file.get(group + name), h5py.Dataset):
            start = np.asarray(file[group + name][()], dtype=np.float64).reshape(-1)
            ends = file.get(group + name + "_end")
            return found, start, None if ends is None else np.asarray(ends[()], dtype=np.float64).reshape(-1)
    return found, None, None


def read_cred_log(path: Path) -> Nominal:
    """Log of 'Serial cRED' (anline459/Serial-3D-ED). Its rotation axis counts from the slow axis: the XDS.INP that
    belongs to it has (cos, sin) of that angle + 90°; its scale is in Å⁻¹ a pixel, though it says px/Å; the starting
    angle is that of the first frame's start. Its camera, 512 px of 0.055 mm, is a quad of Medipix3 chips (chips.py)."""
    rows = (line.partition(":") for line in path.read_text(encoding="latin-1").splitlines())
    said = {key.strip().lower(): value.strip() for key, _, value in rows}

    def get(key: str) -> float:
        if key not in said:
            raise InputError(f"{path}: '{key}' is missing")
        return number(said[key], key=key, source=path)

    pixel_mm, scale, wavelength = get("physical pixelsize"), get("pixelsize"), get("wavelength")
    if scale <= 0 or wavelength <= 0:
        raise InputError(f"{path}: pixelsize {scale:g} and wavelength {wavelength:g} must be positive")
    return Nominal(
        wavelength_angstrom=wavelength,
        camera_length_mm=pixel_mm / (wavelength * scale),
        pixel_size_um=pixel_mm * 1e3,
        tilt_axis_deg=get("rotation axis") + 90.0,
        alpha_start_deg=get("starting angle"),
        step_deg=get("oscillation angle"),
        exposure_s=get("exposure time"),
        mode="continuous",
        chip_gap_px=2 if get("dimension of camera") == 512 and pixel_mm == 0.055 else None,
    )
