"""Parts of the study are kept with a digest of the code that made them: one command goes on where it stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from twin.files.errors import InputError
from twin.files.json import read_json, write_json
from validation.rows import Row

_ROOT = Path(__file__).resolve().parents[2]
REDUCTION = ("pipeline/reduction", "pipeline/types.py", "twin/physics")
FRAMES = (*REDUCTION, *(f"validation/reduction/{name}.py" for name in ("conditions", "frames", "information", "lens")))
KNOWN = (
    *FRAMES,
    "validation/peers/dials_results.py",
    *(f"validation/reduction/{name}.py" for name in ("bound", "dials", "intensity_rows")),
    *(f"validation/reduction/{name}.py" for name in ("known_rows", "measure", "row")),
)
DISTORTED = (*FRAMES, "validation/reduction/distortion_rows.py", "validation/lattice_match.py")
STUDY = (*REDUCTION, "twin", "scenarios/build.py", "scenarios/stages", "validation/reduction/study_rows.py")
REAL = (
    *REDUCTION,
    "pipeline/io/series",
    *(f"validation/reduction/{name}.py" for name in ("real", "real_sources", "wedges")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows of one part and the digest of the code that made them."""

    name: str
    code: str
    rows: tuple[Row, ...]


@cache
def digest(sources: tuple[str, ...]) -> str:
    """Of every module below ``sources``, files or folders of the project."""
    found = hashlib.sha256()
    for name in sources:
        path = _ROOT / name
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        if not files:
            raise FileNotFoundError(f"{path}: the digest of the code is made from it")
        for file in files:
            found.update(file.relative_to(_ROOT).as_posix().encode() + file.read_bytes())
    return found.hexdigest()[:16]


def part_rows(folder: Path, name: str, sources: Sequence[str], make: Callable[[], list[Row]]) -> list[Row]:
    """The rows kept in ``folder``/NAME.json when they are of the same code, else those of ``make``, kept there."""
    path, code = folder / f"{name}.json", digest(tuple(sources))
    kept = _kept(path)
    if kept is not None and kept.code == code:
        return list(kept.rows)
    rows = make()
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, Part(name=name, code=code, rows=tuple(rows)))
    return rows


def _kept(path: Path) -> Part | None:
    """What is kept; None where nothing or something damaged is."""
    try:
        return read_json(Part, path) if path.is_file() else None
    except InputError:
        return None
