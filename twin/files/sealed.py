"""The HDF5 file of a finished series: written once, sealed with hashes, opened with every complaint as one sentence."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from twin.files.atomic import atomic_path
from twin.files.errors import InputError
from twin.files.frames import Counts
from twin.files.json import to_json
from twin.files.nxmx_layout import SeriesMetadata, write_layout

FORMAT = 1
RECORD = "/entry/edtwin"
_SEALS = ("content_sha256", "complete")


def write_series(path: Path, *, frames: Iterator[Counts], hashes: list[str], metadata: SeriesMetadata) -> None:
    """Write a complete series atomically; ``hashes`` are those of the frames, in their order."""
    detector = metadata.microscope.detector
    shape = (detector.slow_px, detector.fast_px)
    # the 1.10 format checks its own metadata (superblock 3) and is read by all HDF5 since 2016
    with atomic_path(path) as temporary, h5py.File(temporary, "w", libver=("v110", "v110")) as file:
        data = file.create_dataset(
            "entry/data/data",
            shape=(len(hashes), *shape),
            dtype=np.uint32,
            chunks=(1, *shape),
            compression="gzip",
            compression_opts=4,
            shuffle=True,
            fletcher32=True,
        )
        for index, frame in enumerate(frames):
            data[index] = frame
        write_layout(file, metadata=metadata)
        record = file.create_group(RECORD)
        record.attrs["NX_class"] = "NXcollection"
        record["format"] = FORMAT
        record["frame_count"] = len(hashes)
        record["frame_sha256"] = hashes
        record["microscope"] = to_json(metadata.microscope)
        for name in ("name", "mode", "precession_deg", "alpha_start_deg", "alpha_end_deg", "exposure_s"):
            record[name] = getattr(metadata, name)
        file.flush()
        record.attrs["content_sha256"] = content_sha256(file)
        file.flush()
        record.attrs["complete"] = True


def content_sha256(file: h5py.File) -> str:
    """SHA-256 over names, types, values and attributes of everything in the file but the counts and the two seals."""
    digest = hashlib.sha256()

    def add(name: str, item: Any) -> None:
        digest.update(f"\n{name}|".encode())
        for key in sorted(item.attrs):
            if not (name == RECORD.lstrip("/") and key in _SEALS):
                digest.update(f"@{key}={_bytes_of(item.attrs[key])!r}".encode())
        if isinstance(item, h5py.Dataset):
            digest.update(f"{item.shape}".encode())
            digest.update(str(item.dtype).encode() if name == "entry/data/data" else _bytes_of(item[()]))

    add("", file)
    file.visititems(add)
    return digest.hexdigest()


def _bytes_of(value: object) -> bytes:
    array = np.asarray(value)
    if array.dtype.kind == "O":
        return repr([x.decode() if isinstance(x, bytes) else str(x) for x in array.ravel()]).encode()
    if array.dtype.kind in "US":
        return str(array.item() if array.ndim == 0 else array.tolist()).encode()
    return array.dtype.str.encode() + np.ascontiguousarray(array).tobytes()


@contextmanager
def opened_series(path: Path) -> Iterator[h5py.File]:
    """The file opened for reading; whatever HDF5 or the record's shape objects to becomes one sentence."""
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file")
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except InputError:
        raise
    except Exception as error:  # HDF5 reports damage as OSError, KeyError, RuntimeError, TypeError, ValueError ...
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise InputError(f"{path} is damaged or not a series: {reason}") from None
