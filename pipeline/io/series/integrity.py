"""Whether files are as they were written: a manifest of SHA-256 sums where there is one, a warning where not.

The manifest is what ``sha256sum * > SHA256SUMS`` writes: one line a file, the sum, two characters, the name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.io.series.nominal import Counts
from twin.files.errors import InputError

MANIFESTS = ("SHA256SUMS", "manifest.sha256")


def _sums(path: Path) -> dict[str, str]:
    sums = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        value, _, name = line.strip().partition(" ")
        name = name.strip().lstrip("*").removeprefix("./")
        if len(value) != 64 or not name:
            raise InputError(f"{path}: '{line[:60]}' is no line of a list of SHA-256 sums")
        sums[name] = value.lower()
    return sums


def check_files(paths: Sequence[Path]) -> list[str]:
    """Compare with the manifest beside the files; returns warnings, raises when a file is not as it was written."""
    folder = paths[0].parent
    manifest = next((folder / name for name in MANIFESTS if (folder / name).is_file()), None)
    if manifest is None:
        return [
            f"no manifest ({MANIFESTS[0]}) beside the frames in {folder}: damage that leaves them readable is not seen"
        ]
    sums = _sums(manifest)
    for path in paths:
        name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
        if name not in sums:
            raise InputError(f"{path}: is not in {manifest}")
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        if found != sums[name]:
            raise InputError(f"{path} is damaged: its SHA-256 is not that of {manifest.name}")
    return []


def suspicious(counts: Counts) -> list[str]:
    """Warnings about frames that stand out: all zero, or with a total far from that of the others."""
    totals = np.array([float(frame.sum(dtype=np.uint64)) for frame in counts])
    typical = float(np.median(totals))
    dark = np.flatnonzero(totals == 0)
    odd = np.flatnonzero((totals > 0) & ((totals > 20 * typical) | (totals < typical / 20)))
    found = []
    if len(dark):
        found.append(f"frames {_names(dark)} hold no counts at all")
    if len(odd):
        found.append(f"frames {_names(odd)} have totals more than 20 times off the median")
    return found


def _names(frames: np.ndarray) -> str:
    return ", ".join(str(int(f) + 1) for f in frames[:8]) + (" …" if len(frames) > 8 else "")
