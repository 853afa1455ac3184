"""SHELX .hkl files (HKLF 4): three I4 indices, F² and σ in F8.2, a batch number in I4; a line of zeros ends them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twin.files.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HklFile:
    """hkl (n, 3), intensity and sigma (n,), batch (n,) (1 where the file has none)."""

    hkl: Ints
    intensity: Floats
    sigma: Floats
    batch: Ints


def _field(value: float) -> str:
    """Eight characters: as many decimals as fit."""
    for decimals in (2, 1, 0):
        text = f"{value:8.{decimals}f}"
        if len(text) == 8:
            return text if decimals else text[1:] + "." if text[0] == " " else text
    raise InputError(f"intensity {value:g} does not fit into the eight characters of HKLF 4; scale the data")


def shelx_text(*, hkl: Ints, intensity: Floats, sigma: Floats, batch: Ints | None = None) -> str:
    """Text of an HKLF 4 file; intensities are scaled down together when the largest has more than six digits."""
    top = float(np.max(np.abs(intensity), initial=1.0))
    scale = 1.0 if top < 99999.0 else 99999.0 / top
    numbers = np.ones(len(hkl), dtype=np.int64) if batch is None else batch
    lines = [
        f"{h:4d}{k:4d}{m:4d}{_field(i * scale)}{_field(max(s * scale, 0.01))}{b:4d}"
        for (h, k, m), i, s, b in zip(hkl.tolist(), intensity.tolist(), sigma.tolist(), numbers.tolist(), strict=True)
    ]
    return "\n".join([*lines, "   0   0   0    0.00    0.00   0"]) + "\n"


def parse_shelx(text: str, *, source: object = "text") -> HklFile:
    """HKLF 4 from text: fixed columns, or columns split by blanks when the line does not fit them."""
    rows: list[tuple[int, int, int, float, float, int]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            if rows:
                break
            continue
        row = _row(line)
        if row is None:
            if rows:
                break  # whatever follows the reflections (a CIF-style trailer, comments)
            raise InputError(f"{source}: line {number} is not a reflection of an HKLF 4 file")
        if row[:3] == (0, 0, 0):
            break
        if not (np.isfinite(row[3]) and np.isfinite(row[4])):
            raise InputError(f"{source}: line {number} holds a value that is not finite")
        rows.append(row)
    if not rows:
        raise InputError(f"{source}: no reflections")
    table = np.array(rows, dtype=np.float64)
    return HklFile(
        hkl=table[:, :3].astype(np.int64), intensity=table[:, 3], sigma=table[:, 4], batch=table[:, 5].astype(np.int64)
    )


def _row(line: str) -> tuple[int, int, int, float, float, int] | None:
    fixed = [line[0:4], line[4:8], line[8:12], line[12:20], line[20:28], line[28:32]]
    for fields in (fixed, line.split()):
        try:
            h, k, m = (int(x) for x in fields[:3])
            intensity, sigma = float(fields[3]), float(fields[4])
            batch = int(fields[5]) if len(fields) > 5 and fields[5].strip() else 1
        except (ValueError, IndexError):
            continue
        return h, k, m, intensity, sigma, batch
    return None


def read_shelx(path: str | Path) -> HklFile:
    """Read an HKLF 4 file."""
    file = Path(path)
    try:
        return parse_shelx(file.read_text(encoding="latin-1"), source=file)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
