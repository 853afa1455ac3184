"""Single frames: SMV, TIFF, MRC, CBF. Each reader returns counts and what the header says, or raises one sentence.

Nothing is repaired: a file that is shorter or longer than its header promises, or that holds negative or non-finite
counts, is refused.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.io.series.nominal import Counts, Nominal
from twin.files.errors import InputError

_LARGEST_PX = 16384
NO_COUNT = 2**32 - 1  # in counts: a pixel in a gap or one that does not work, as Dectris marks them in unsigned data
Image = tuple[Counts, Nominal, float | None]  # (frames, slow, fast), header, angle at the start of the (first) frame


def as_counts(values: NDArray[np.generic], *, source: object) -> Counts:
    """(frames, slow, fast) uint32 from what a file holds; refuses NaN, negative, fractional and absurdly large."""
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or min(values.shape) < 1 or max(values.shape[1:]) > _LARGEST_PX:
        raise InputError(f"{source}: an image of shape {values.shape}; frames of up to {_LARGEST_PX} px are needed")
    if values.dtype.kind == "f":
        if not np.all(np.isfinite(values)):
            raise InputError(f"{source}: holds counts that are not finite")
        if np.any(values != np.rint(values)):
            raise InputError(f"{source}: holds counts that are not whole numbers; raw counts are needed")
    elif values.dtype.kind not in "iu":
        raise InputError(f"{source}: pixels of type {values.dtype}; whole numbers are needed")
    low, high = values.min(), values.max()
    if low < 0 or high > 2**32 - 1:
        raise InputError(f"{source}: counts from {low} to {high}; allowed are 0 to {2**32 - 1}")
    return np.ascontiguousarray(values, dtype=np.uint32)


def read_bytes(path: Path) -> bytes:
    """All of a file; a sentence when it cannot be read or is empty."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not content:
        raise InputError(f"{path}: the file is empty")
    return content


def number(text: str, *, key: str, source: object) -> float:
    """First number of a text; a sentence when there is none or it is not finite."""
    try:
        value = float(text.split()[0].strip("(,)"))
    except (ValueError, IndexError):
        raise InputError(f"{source}: {key} is '{text[:40]}', a number is needed") from None
    if not np.isfinite(value):
        raise InputError(f"{source}: {key} is '{text[:40]}', a finite number is needed")
    return value


_SMV_TYPES = {"unsigned_short": "u2", "unsigned_long": "u4", "signed_long": "i4", "signed_short": "i2"}


def _smv_fields(content: bytes, path: Path) -> dict[str, str]:
    if not content.startswith(b"{"):
        raise InputError(f"{path}: an SMV file begins with '{{'")
    head = content[: content.find(b"}") if b"}" in content[:65536] else 0].decode("latin-1")
    rows = (row.split("=", 1) for row in head[1:].replace("\n", "").split(";") if "=" in row)
    return {k.strip(): v.strip() for k, v in rows}


def read_smv(path: Path) -> Image:
    """SMV: a text header in braces, then the pixels. BEAM_CENTER_X runs along the slow axis (ADSC, as DIALS reads)."""
    content = read_bytes(path)
    fields = _smv_fields(content, path)

    def get(key: str) -> float:
        if key not in fields:
            raise InputError(f"{path}: the header lacks {key}")
        return number(fields[key], key=key, source=path)

    kind = fields.get("TYPE", "unsigned_short")
    order = {"little_endian": "<", "big_endian": ">"}.get(fields.get("BYTE_ORDER", "little_endian"))
    if kind not in _SMV_TYPES or order is None:
        raise InputError(f"{path}: TYPE {kind} or BYTE_ORDER {fields.get('BYTE_ORDER')} is not known")
    fast, slow, skip = int(get("SIZE1")), int(get("SIZE2")), int(get("HEADER_BYTES"))
    dtype = np.dtype(order + _SMV_TYPES[kind])
    if not (0 < fast <= _LARGEST_PX and 0 < slow <= _LARGEST_PX and 0 < skip <= 65536):
        raise InputError(f"{path}: SIZE1 {fast}, SIZE2 {slow}, HEADER_BYTES {skip} are impossible")
    if len(content) != skip + fast * slow * dtype.itemsize:
        raise InputError(f"{path}: {len(content)} bytes, the header promises {skip + fast * slow * dtype.itemsize}")
    pixel_mm = get("PIXEL_SIZE")
    step = get("OSC_RANGE") if "OSC_RANGE" in fields else None
    header = Nominal(
        wavelength_angstrom=get("WAVELENGTH") if "WAVELENGTH" in fields else None,
        camera_length_mm=get("DISTANCE") if "DISTANCE" in fields else None,
        pixel_size_um=pixel_mm * 1e3,
        centre_fast_px=get("BEAM_CENTER_Y") / pixel_mm - 0.5 if "BEAM_CENTER_Y" in fields else None,
        centre_slow_px=get("BEAM_CENTER_X") / pixel_mm - 0.5 if "BEAM_CENTER_X" in fields else None,
        step_deg=step,
        exposure_s=get("TIME") if "TIME" in fields else None,
        counter_max=65535 if dtype.itemsize == 2 else None,
    )
    values = np.frombuffer(content, dtype=dtype, offset=skip).reshape(slow, fast)
    return as_counts(values, source=path), header, get("OSC_START") if "OSC_START" in fields else None


def read_tiff(path: Path) -> Image:
    """TIFF, one page or several; it says nothing about the geometry."""
    import tifffile

    content = read_bytes(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with tifffile.TiffFile(io.BytesIO(content)) as file:
                values = np.stack([page.asarray() for page in file.pages])
    except InputError:
        raise
    except Exception as error:  # tifffile raises many kinds for damaged files
        raise InputError(f"{path}: not a readable TIFF ({str(error)[:80] or type(error).__name__})") from None
    return as_counts(values, source=path), Nominal(), None


_MRC_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2"}


def read_mrc(path: Path) -> Image:
    """MRC2014: 1024 bytes of header, an extended header, then sections; rows in the order of the file.

    (Cheng et al., J. Struct. Biol. 192 (2015) 146.)
    """
    content = read_bytes(path)
    if len(content) < 1024:
        raise InputError(f"{path}: {len(content)} bytes are no MRC file")
    order = "<" if content[212] in (0x44, 0) else ">"
    nx, ny, nz, mode = struct.unpack(order + "4i", content[:16])
    extra = struct.unpack(order + "i", content[92:96])[0]
    if mode not in _MRC_MODES or not (0 < nx <= _LARGEST_PX and 0 < ny <= _LARGEST_PX and nz > 0 and extra >= 0):
        raise InputError(f"{path}: mode {mode} with {nx} × {ny} × {nz} px; modes 0, 1, 2 and 6 are read")
    dtype = np.dtype(order + _MRC_MODES[mode])
    wanted = 1024 + extra + nx * ny * nz * dtype.itemsize
    if len(content) != wanted:
        raise InputError(f"{path}: {len(content)} bytes, the header promises {wanted}")
    values = np.frombuffer(content, dtype=dtype, offset=1024 + extra).reshape(nz, ny, nx)
    return as_counts(values, source=path), Nominal(), None


def _whole_cbf(raw: bytes, path: Path) -> None:
    """Refuse a file without its binary section, or one shorter than its header says: fabio waits for ever on some."""
    head, mark, body = raw.partition(b"\x0c\x1a\x04\xd5")
    size = re.search(rb"X-Binary-Size:\s*(\d{1,12})\s", head)
    border = b"--CIF-BINARY-FORMAT-SECTION--"
    if not mark or size is None or not head.isascii() or border not in head or border not in body:
        raise InputError(f"{path}: not a readable CBF (no whole binary section of stated size)")
    if len(body) < int(size.group(1)):
        raise InputError(f"{path}: cut short; {int(size.group(1))} bytes of data are promised, {len(body)} are there")


def read_cbf(path: Path) -> Image:
    """CBF with the mini-header of Dectris; the MD5 of its binary section is checked."""
    from fabio.cbfimage import CbfImage

    _whole_cbf(read_bytes(path), path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = CbfImage()
            image.read(str(path), check_MD5=True)
            values = np.asarray(image.data).copy()
    except Exception as error:  # fabio raises many kinds for damaged files
        raise InputError(f"{path}: not a readable CBF ({str(error)[:80] or type(error).__name__})") from None
    gaps = (values == -1) | (values == -2) if values.dtype.kind == "i" else np.zeros(values.shape, dtype=bool)
    counts = as_counts(np.where(gaps, 0, values), source=path)  # −1 marks gaps between modules, −2 bad pixels
    counts[:, gaps] = NO_COUNT
    lines = str(image.header.get("_array_data.header_contents", "")).splitlines()
    header = {k: v for k, _, v in (row.strip("# \r").partition(" ") for row in lines if row.strip("# \r"))}

    def get(key: str, factor: float = 1.0) -> float | None:
        return number(header[key], key=key, source=path) * factor if key in header else None

    beam = header.get("Beam_xy", "").replace("(", "").replace(")", "").split(",")
    x, y = (number(v, key="Beam_xy", source=path) for v in beam[:2]) if len(beam) >= 2 else (None, None)
    said = Nominal(
        wavelength_angstrom=get("Wavelength"),
        camera_length_mm=get("Detector_distance", 1e3),
        pixel_size_um=get("Pixel_size", 1e6),
        centre_fast_px=None if x is None else x - 0.5,
        centre_slow_px=None if y is None else y - 0.5,
        step_deg=get("Angle_increment"),
        exposure_s=get("Exposure_time"),
        counter_max=None if get("Count_cutoff") is None else int(get("Count_cutoff") or 0),
    )
    return counts, said, get("Start_angle")


READERS: dict[str, Callable[[Path], Image]] = {
    ".img": read_smv,
    ".smv": read_smv,
    ".tif": read_tiff,
    ".tiff": read_tiff,
    ".mrc": read_mrc,
    ".mrcs": read_mrc,
    ".cbf": read_cbf,
}
