"""Rows that took long are kept beside the study's JSON, one file a case, so that one command can go on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from twin.files.atomic import write_text
from validation.rows import Row


def kept_rows(folder: Path, name: str, *, recipe: str, make: Callable[[], list[Row]]) -> list[Row]:
    """The rows of ``folder``/NAME-HASH.json, or those of ``make``, written there; HASH is that of the ``recipe``.

    The recipe is a text of everything that decides the rows (settings, frames left out, data), but not the code:
    delete the folder to measure anew.
    """
    path = folder / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.json"
    if path.exists():
        return [Row(**values) for values in json.loads(path.read_text(encoding="utf-8"))]
    rows = make()
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return rows
