"""A series while it is being recorded: a folder with one small, self-checking file for each frame.

A frame file is ``EDTFRAME1``, a line of JSON (index, angles in degrees, exposure in seconds, shape), the deflated
counts (little-endian uint32, slow axis first), and the SHA-256 of all bytes before it. Each is written atomically, so
that a kill at any moment costs at most the frame that was being written.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twin.files.atomic import sha256_bytes, write_bytes
from twin.files.errors import InputError
from twin.files.json import canonical_json, from_json

_MAGIC = b"EDTFRAME1\n"
_DIGEST_BYTES = 32
Counts = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHeader:
    """What the goniometer and the detector said about one frame; ``sha256`` is that of the raw counts."""

    index: int
    alpha_start_deg: float
    alpha_end_deg: float
    exposure_s: float
    slow_px: int
    fast_px: int
    sha256: str


def counts_sha256(counts: Counts) -> str:
    """SHA-256 of the counts as little-endian uint32, slow axis first."""
    return sha256_bytes(np.ascontiguousarray(counts, dtype="<u4").tobytes())


def checked_counts(counts: NDArray[np.generic], *, shape: tuple[int, int]) -> Counts:
    """Counts as uint32, or an :class:`InputError` when they are no counts of this detector."""
    array = np.asarray(counts)
    if array.shape != shape:
        raise InputError(f"frame has shape {array.shape}; the detector gives (slow, fast) = {shape}")
    if array.dtype.kind not in "ui":
        raise InputError(f"frame has type {array.dtype}; only integer counts are allowed")
    if array.size and (int(array.min()) < 0 or int(array.max()) > 0xFFFFFFFF):
        raise InputError("frame holds counts outside 0 to 4294967295")
    return array.astype(np.uint32, copy=False)


def frame_path(folder: Path, index: int) -> Path:
    """Where frame ``index`` lies in the folder of a part."""
    return folder / f"{index:06d}.frame"


def write_frame(folder: Path, *, header: FrameHeader, counts: Counts) -> Path:
    """Write one frame atomically."""
    body = _MAGIC + canonical_json(header).encode() + b"\n"
    body += zlib.compress(np.ascontiguousarray(counts, dtype="<u4").tobytes(), level=1)
    path = frame_path(folder, header.index)
    write_bytes(path, body + hashlib.sha256(body).digest())
    return path


def read_frame(path: Path) -> tuple[FrameHeader, Counts]:
    """Read and verify one frame file; :class:`InputError` when any byte is not what was written."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    body, digest = raw[:-_DIGEST_BYTES], raw[-_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest or not body.startswith(_MAGIC):
        raise InputError(f"{path} is damaged or incomplete: its SHA-256 does not match")
    line, _, packed = body[len(_MAGIC) :].partition(b"\n")
    header = from_json(FrameHeader, line, source=str(path))
    counts = np.frombuffer(zlib.decompress(packed), dtype="<u4").reshape(header.slow_px, header.fast_px)
    if path.name != frame_path(path.parent, header.index).name:
        raise InputError(f"{path} holds frame {header.index}, which is another one than its name says")
    return header, counts.astype(np.uint32, copy=False)


def verified_frames(folder: Path, *, frame_count: int) -> dict[int, FrameHeader]:
    """Headers of all whole frames in ``folder``; damaged ones are renamed ``.corrupt`` so that they are made again."""
    found: dict[int, FrameHeader] = {}
    for index in range(frame_count):
        path = frame_path(folder, index)
        if not path.exists():
            continue
        try:
            found[index] = read_frame(path)[0]
        except InputError:
            os.replace(path, path.with_suffix(".corrupt"))
    return found
