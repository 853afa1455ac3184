"""Rows that took long are kept beside the study's JSON with what decided them: one command goes on where it stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from twin.files.errors import InputError
from twin.files.json import read_json, write_json
from validation.rows import Row

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRows:
    """Rows, how they were asked for, and the digest of the code that made them."""

    code: str
    recipe: str
    rows: tuple[Row, ...]


def kept_rows(path: Path, *, code: str, recipe: str = "", make: Callable[[], list[Row]]) -> list[Row]:
    """The rows of ``path`` when the same code made them with the same recipe, else those of ``make``, written there.

    Nothing is kept of an empty list: a peer that was not there may be there the next time. A damaged file counts as
    none.
    """
    found = _read(path)
    if found is not None and (found.code, found.recipe) == (code, recipe):
        return list(found.rows)
    rows = make()
    if rows:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, KeptRows(code=code, recipe=recipe, rows=tuple(rows)))
    return rows


def _read(path: Path) -> KeptRows | None:
    try:
        return read_json(KeptRows, path) if path.is_file() else None
    except InputError:
        return None


@cache
def digest(sources: tuple[str, ...]) -> str:
    """Of every module below ``sources``: folders, files, or modules without their .py, from the project's root."""
    return digest_of(files_of(sources))


def files_of(sources: Sequence[str], *, endings: Sequence[str] = (".py",)) -> list[Path]:
    """Every file with one of the ``endings`` below each of the sources in turn; each source must have one."""
    found = []
    for name in sources:
        path = ROOT / name
        own = sorted(p for p in path.rglob("*") if p.suffix in endings) if path.is_dir() else [_module(path)]
        if not own or not own[0].is_file():
            raise FileNotFoundError(f"{path}: the digest of the code is made from it")
        found += own
    return found


def _module(path: Path) -> Path:
    return path if path.suffix else path.with_suffix(".py")


def digest_of(files: Iterable[Path]) -> str:
    """Of names and contents, 16 characters."""
    found = hashlib.sha256()
    for file in files:
        found.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
    return found.hexdigest()[:16]
