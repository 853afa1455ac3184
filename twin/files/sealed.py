"""The HDF5 file of a finished series: written once, sealed with hashes, opened with every complaint as one sentence."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from twin.files.atomic import atomic_path, sha256_file
from twin.files.errors import InputError
from twin.files.frames import Counts
from twin.files.json import to_json
from twin.files.nxmx_layout import SeriesMetadata, write_layout

FORMAT = 1
RECORD = "/entry/edtwin"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_SEAL = b"EDTSEAL1"
_SEAL_BYTES = len(_SEAL) + 32


def write_series(path: Path, *, frames: Iterator[Counts], hashes: list[str], metadata: SeriesMetadata) -> None:
    """Write a complete series atomically; ``hashes`` are those of the frames, in their order."""
    detector = metadata.microscope.detector
    shape = (detector.slow_px, detector.fast_px)
    # the 1.10 format checks its own metadata (superblock 3) and is read by all HDF5 since 2016
    with atomic_path(path) as temporary:
        with h5py.File(temporary, "w", libver=("v110", "v110")) as file:
            _fill(file, shape=shape, frames=frames, hashes=hashes, metadata=metadata)
        _seal(temporary)


def _fill(
    file: h5py.File, *, shape: tuple[int, int], frames: Iterator[Counts], hashes: list[str], metadata: SeriesMetadata
) -> None:
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
    record.attrs["complete"] = True


def _seal(path: Path) -> None:
    """Append the SHA-256 of all bytes so far; HDF5 ignores what stands behind its own end of file."""
    digest = bytes.fromhex(sha256_file(path))
    with open(path, "ab") as handle:
        handle.write(_SEAL + digest)


def check_seal(path: Path) -> None:
    """Raise :class:`InputError` unless the file is byte for byte what was written; HDF5 is not involved.

    Needed before HDF5 opens a file, because damaged metadata can keep the library in an endless loop.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    body, seal = raw[:-_SEAL_BYTES], raw[-_SEAL_BYTES:]
    if not raw.startswith(_HDF5):
        raise InputError(f"{path} is no HDF5 file, or its beginning is damaged")
    if not seal.startswith(_SEAL):
        raise InputError(f"{path} is no sealed series of edtwin: it is truncated, changed, or from another program")
    if hashlib.sha256(body).digest() != seal[len(_SEAL) :]:
        raise InputError(f"{path} is damaged or was changed: the SHA-256 of the file does not match")


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
