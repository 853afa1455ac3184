"""``frames.nxs``: a tilt series in NXmx HDF5, recorded frame by frame, sealed at the end, verified when read.

While it is recorded the series is the folder ``frames.nxs.part`` (twin.files.frames). :meth:`SeriesRecorder.complete`
puts it together under a temporary name and renames it. In ``/entry/edtwin`` the file carries the nominal settings, the
angles as reported and the SHA-256 of each frame; ``complete`` is written last, and behind the HDF5 content stands a
seal with the SHA-256 of the whole, which is checked before HDF5 sees the file.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np
from numpy.typing import NDArray

from twin.files.atomic import sha256_bytes, sweep_stale
from twin.files.errors import InputError
from twin.files.frames import (
    Counts,
    FrameHeader,
    checked_counts,
    counts_sha256,
    frame_path,
    read_frame,
    verified_frames,
    write_frame,
)
from twin.files.json import from_json, read_json, write_json
from twin.files.nxmx_layout import SeriesMetadata
from twin.files.sealed import FORMAT, RECORD, check_seal, opened_series, write_series
from twin.model.dataset import Dataset
from twin.model.instrument import Microscope
from twin.model.plan import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSettings:
    """What a series must agree on from its first frame to its last, also after an interruption."""

    name: str
    microscope: Microscope
    mode: Mode
    precession_deg: float
    frame_count: int
    bad_pixels_sha256: str


class SeriesRecorder:
    """Records a series; what was recorded before an interruption is verified and kept.

    ``path``: the final file, which must not exist yet. ``bad_pixels``: (slow, fast) bool, none when not given.
    """

    def __init__(
        self,
        path: Path,
        *,
        microscope: Microscope,
        mode: Mode,
        precession_deg: float,
        frame_count: int,
        bad_pixels: NDArray[np.bool_] | None = None,
        name: str = "series",
        start_time: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + ".part")
        if self.path.exists():
            raise InputError(f"{self.path} exists already; a finished series is never overwritten")
        detector = microscope.detector
        self._shape = (detector.slow_px, detector.fast_px)
        self._bad = np.array(np.zeros(self._shape) if bad_pixels is None else bad_pixels, dtype=np.bool_)
        if self._bad.shape != self._shape:
            raise InputError(f"bad_pixels has shape {self._bad.shape}; the detector has {self._shape}")
        if frame_count < 1:
            raise InputError(f"frame_count is {frame_count}; a series has at least 1 frame")
        self._start_time = start_time
        self.settings = SeriesSettings(
            name=name,
            microscope=microscope,
            mode=mode,
            precession_deg=precession_deg,
            frame_count=frame_count,
            bad_pixels_sha256=sha256_bytes(self._bad.tobytes()),
        )
        self._headers = self._open_part()

    @property
    def missing(self) -> tuple[int, ...]:
        """Indices that are still to be recorded, in order."""
        return tuple(i for i in range(self.settings.frame_count) if i not in self._headers)

    @property
    def recorded(self) -> int:
        """Number of verified frames."""
        return len(self._headers)

    def record(
        self,
        *,
        index: int,
        counts: NDArray[np.generic],
        alpha_start_deg: float,
        alpha_end_deg: float,
        exposure_s: float,
    ) -> None:
        """Write one frame; it is on disk, whole, when this returns."""
        if not 0 <= index < self.settings.frame_count:
            raise InputError(f"frame {index} is outside the series of {self.settings.frame_count} frames")
        if index in self._headers:
            raise InputError(f"frame {index} of {self.part} was recorded before")
        if not np.all(np.isfinite([alpha_start_deg, alpha_end_deg, exposure_s])):
            raise InputError(f"frame {index}: angles and exposure must be finite numbers")
        whole = checked_counts(counts, shape=self._shape)
        header = FrameHeader(
            index=index,
            alpha_start_deg=float(alpha_start_deg),
            alpha_end_deg=float(alpha_end_deg),
            exposure_s=float(exposure_s),
            slow_px=self._shape[0],
            fast_px=self._shape[1],
            sha256=counts_sha256(whole),
        )
        write_frame(self.part, header=header, counts=whole)
        self._headers[index] = header

    def complete(self) -> Path:
        """Seal the series under its final name and remove the part; needs all frames."""
        if self.missing:
            raise InputError(f"{self.part} lacks frame {self.missing[0]} ({len(self.missing)} missing in all)")
        frames = (self._whole_frame(i) for i in range(self.settings.frame_count))
        ordered = [self._headers[i] for i in range(self.settings.frame_count)]
        write_series(
            self.path,
            frames=frames,
            hashes=[header.sha256 for header in ordered],
            metadata=SeriesMetadata(
                name=self.settings.name,
                microscope=self.settings.microscope,
                mode=self.settings.mode,
                precession_deg=self.settings.precession_deg,
                alpha_start_deg=np.array([header.alpha_start_deg for header in ordered]),
                alpha_end_deg=np.array([header.alpha_end_deg for header in ordered]),
                exposure_s=np.array([header.exposure_s for header in ordered]),
                bad_pixels=self._bad,
                start_time=self._start_time,
            ),
        )
        shutil.rmtree(self.part)
        return self.path

    def _open_part(self) -> dict[int, FrameHeader]:
        self.part.mkdir(parents=True, exist_ok=True)
        sweep_stale(self.part, older_than_s=0.0)
        sweep_stale(self.path.parent)
        described = self.part / "series.json"
        if not described.exists():
            write_json(described, self.settings)
        before = read_json(SeriesSettings, described)
        if before != self.settings:
            key = next(k for k in SeriesSettings.__slots__ if getattr(before, k) != getattr(self.settings, k))
            raise InputError(f"{self.part} was begun with another {key}; remove it or go on with the same settings")
        return verified_frames(self.part, frame_count=self.settings.frame_count)

    def _whole_frame(self, index: int) -> Counts:
        header, counts = read_frame(frame_path(self.part, index))
        if header != self._headers[index]:
            raise InputError(f"{frame_path(self.part, index)} changed after it was recorded")
        return counts


def write_dataset(path: Path, dataset: Dataset, *, start_time: str | None = None) -> Path:
    """Write a whole :class:`Dataset` at once; replaces what is at ``path``."""
    write_series(
        Path(path),
        frames=iter(dataset.counts),
        hashes=[counts_sha256(frame) for frame in dataset.counts],
        metadata=SeriesMetadata(
            name=dataset.name,
            microscope=dataset.microscope,
            mode=dataset.mode,
            precession_deg=dataset.precession_deg,
            alpha_start_deg=dataset.alpha_start_deg,
            alpha_end_deg=dataset.alpha_end_deg,
            exposure_s=dataset.exposure_s,
            bad_pixels=dataset.bad_pixels,
            start_time=start_time,
        ),
    )
    return Path(path)


def read_dataset(path: Path, *, verify: bool = True) -> Dataset:
    """Read ``frames.nxs``; :class:`InputError` unless it is complete and every byte that matters is as written.

    ``verify=False`` skips the hashes (not the checks of shape, count and completeness).
    """
    path = Path(path)
    if verify:
        check_seal(path)
    with opened_series(path) as file:
        record = file.get(RECORD)
        if record is None:
            raise InputError(f"{path} is no series of edtwin: the group {RECORD} is missing")
        if not bool(record.attrs.get("complete", False)):
            raise InputError(f"{path} is not complete: its recording or its writing was interrupted")
        if int(record["format"][()]) != FORMAT:
            raise InputError(f"{path}: {RECORD}/format is {int(record['format'][()])}; this version reads {FORMAT}")
        return _dataset(path, file=file, record=record, verify=verify)


def _dataset(path: Path, *, file: h5py.File, record: Any, verify: bool) -> Dataset:
    microscope = from_json(Microscope, record["microscope"][()], source=f"{path}: {RECORD}/microscope")
    count = int(record["frame_count"][()])
    shape = (count, microscope.detector.slow_px, microscope.detector.fast_px)
    data = file["entry/data/data"]
    mode = record["mode"].asstr()[()]
    if data.shape != shape or data.dtype != np.uint32:
        raise InputError(f"{path}: /entry/data/data is {data.dtype} {data.shape}; its settings promise uint32 {shape}")
    if mode not in get_args(Mode):
        raise InputError(f"{path}: {RECORD}/mode is {mode!r}; allowed are {', '.join(get_args(Mode))}")
    hashes = list(record["frame_sha256"].asstr()[()])
    arrays = {name: record[name][()] for name in ("alpha_start_deg", "alpha_end_deg", "exposure_s")}
    for name, values in arrays.items():
        if values.shape != (count,) or not np.all(np.isfinite(values)):
            raise InputError(f"{path}: {RECORD}/{name} must hold {count} finite numbers")
    if len(hashes) != count:
        raise InputError(f"{path}: {RECORD}/frame_sha256 holds {len(hashes)} hashes for {count} frames")
    counts = np.empty(shape, dtype=np.uint32)
    for index in range(count):
        counts[index] = data[index]
        if verify and counts_sha256(counts[index]) != hashes[index]:
            raise InputError(f"{path} is damaged: the SHA-256 of frame {index} does not match")
    return Dataset(
        counts=counts,
        bad_pixels=file["entry/instrument/detector/pixel_mask"][()] != 0,
        microscope=microscope,
        mode=mode,
        precession_deg=float(record["precession_deg"][()]),
        name=record["name"].asstr()[()],
        **arrays,
    )
