"""One door for every kind of series: HDF5 (ours, NXmx, bare stacks), a PETS project, or frames in SMV, TIFF, MRC, CBF.

What the files do not say is taken from ``nominal``; what is given there wins over the files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.io.series.build import build_dataset
from pipeline.io.series.hdf5 import is_ours, read_stack
from pipeline.io.series.images import NO_COUNT, READERS, Image
from pipeline.io.series.integrity import check_files, suspicious
from pipeline.io.series.nominal import Nominal, RawSeries
from pipeline.io.series.pets_project import read_project
from twin.files.errors import InputError
from twin.files.nxmx import read_dataset
from twin.model.dataset import Dataset

HDF5 = (".nxs", ".h5", ".hdf5", ".hdf")
_KNOWN = f"{', '.join(HDF5)}, .pts, {', '.join(READERS)}"


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(t), "") if t.isdigit() else (-1, t) for t in re.split(r"(\d+)", path.name)]


def frame_files(path: Path) -> list[Path]:
    """Files of a series in the order of their numbers: a folder, a pattern with * or ?, or one file."""
    if path.is_dir():
        files = [f for f in path.iterdir() if f.suffix.lower() in READERS and f.is_file()]
        kinds = sorted({f.suffix.lower() for f in files})
        if len(kinds) != 1:
            raise InputError(f"{path}: frames of one kind are needed in a folder; found {kinds or 'none'} of {_KNOWN}")
    elif any(c in path.name for c in "*?"):
        files = [f for f in path.parent.glob(path.name) if f.suffix.lower() in READERS]
        if not files:
            raise InputError(f"{path}: no file matches; known kinds are {_KNOWN}")
    else:
        files = [path]
    return sorted(files, key=_natural)


def _join(images: Sequence[Image], files: Sequence[Path]) -> RawSeries:
    first = images[0][1]
    for (counts, said, _), path in zip(images, files, strict=True):
        if counts.shape[1:] != images[0][0].shape[1:]:
            raise InputError(f"{path}: {counts.shape[1:]} px, {files[0].name} has {images[0][0].shape[1:]}")
        for key in ("wavelength_angstrom", "camera_length_mm", "pixel_size_um", "step_deg"):
            if getattr(said, key) != getattr(first, key):
                raise InputError(f"{path}: {key} is {getattr(said, key)}, in {files[0].name} {getattr(first, key)}")
    starts = [start for _, _, start in images]
    known = all(start is not None for start in starts) and all(len(i[0]) == 1 for i in images)
    alpha = np.array([s for s in starts if s is not None]) if known else None
    step = first.step_deg
    if alpha is not None and len(alpha) > 2:
        jumps = np.diff(alpha)
        if np.any(np.abs(jumps - np.median(jumps)) > 0.02 * abs(float(np.median(jumps))) + 1e-3):
            at = int(np.argmax(np.abs(jumps - np.median(jumps))))
            raise InputError(f"{files[at + 1]}: starts at {alpha[at + 1]:g}°, {jumps[at]:g}° after the frame before")
    counts = np.concatenate([counts for counts, _, _ in images])
    bad = np.any(counts == NO_COUNT, axis=0)
    counts[:, bad] = 0
    return RawSeries(
        counts=counts,
        bad_pixels=bad,
        found=replace(first, step_deg=None) if alpha is not None else first,
        source=files[0].parent / files[0].stem,
        alpha_start_deg=alpha,
        alpha_end_deg=None if alpha is None or step is None else alpha + step,
    )


def _read_files(path: Path, warn: Callable[[str], None]) -> RawSeries:
    files = frame_files(path)
    if files[0].suffix.lower() not in READERS:
        raise InputError(f"{path}: '{files[0].suffix}' is not a known kind of frames; known are {_KNOWN}")
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: there is no such file")
    for warning in check_files(files):
        warn(warning)
    return _join([READERS[f.suffix.lower()](f) for f in files], files)


def read_series(
    path: Path | str, *, nominal: Nominal | None = None, warn: Callable[[str], None] = lambda sentence: None
) -> Dataset:
    """Read a series. ``warn`` is told what cannot be checked; damage that can be seen is an :class:`InputError`."""
    given = nominal or Nominal()
    path = Path(path)
    kind = path.suffix.lower()
    if kind in HDF5 and not path.is_dir():
        if not path.is_file():
            raise InputError(f"{path}: there is no such file")
        if is_ours(path):
            if given != Nominal():
                warn(f"{path}: the file brings its settings with it; those given beside it are not used")
            return read_dataset(path)
        for warning in check_files([path]):
            warn(warning)
        raw = read_stack(path)
    elif kind == ".pts":
        warn(f"{path}: the project has no sums of its images: damage that leaves them readable is not seen")
        raw = read_project(path)
    else:
        raw = _read_files(path, warn)
    for warning in suspicious(raw.counts):
        warn(f"{path}: {warning}")
    return build_dataset(raw=raw, given=given)
