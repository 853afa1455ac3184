"""Rows that took long are kept beside the study's JSON, one file a case, so that one command can go on where it was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import process_time

from twin.files.errors import InputError
from twin.files.json import read_json, write_json
from validation.kept import digest_of, files_of
from validation.rows import Row

CODE = (
    *("pipeline/refinement", "pipeline/io", "twin/derivatives", "twin/physics"),
    *(
        f"validation/refinement/{name}"
        for name in ("agreement", "bethe", "extinction", "measured", "published", "raw", "speed", "speed_whole")
    ),
)  # the cases themselves are in the recipes


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A case that is done. recipe: what decides its rows; code: digest of the code that made them."""

    name: str
    recipe: str
    code: str
    cpu_s: float
    rows: tuple[Row, ...]


def kept_rows(folder: Path, name: str, *, recipe: str, make: Callable[[], list[Row]]) -> list[Row]:
    """The rows of ``folder``/NAME-HASH.json, or those of ``make``, written there; HASH is that of the ``recipe``.

    The recipe is a text of everything that decides the rows (settings, frames left out, data), but not the code. Rows
    of an earlier state of the code are taken as they are, and the page says so; delete a file to measure it anew.
    """
    path = kept_path(folder, name, recipe=recipe)
    if path.exists():
        return list(read_json(Kept, path).rows)
    started, code = process_time(), code_digest()
    rows = make()
    folder.mkdir(parents=True, exist_ok=True)
    cpu_s = round(process_time() - started, 1)
    write_json(path, Kept(name=name, recipe=recipe, code=code, cpu_s=cpu_s, rows=tuple(rows)))
    return rows


def kept_path(folder: Path, name: str, *, recipe: str) -> Path:
    """Where the rows of a case lie."""
    return folder / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.json"


def read_kept(folder: Path) -> tuple[Kept, ...]:
    """Every case that is kept in a folder, by name."""
    if not folder.is_dir():
        return ()
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(read_json(Kept, path))
        except InputError as error:
            raise InputError(f"{error}; delete the file to measure the case anew") from None
    return tuple(found)


@cache
def code_digest() -> str:
    """Digest of the code that decides what a refinement gives."""
    return digest_of(files_of(CODE))[:12]
