"""Runs of scenarios through the command line, as a user starts them; what is kept of each is its summary."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twin.files.errors import InputError
from twin.files.json import parse_json, read_json, write_json
from validation.command import GAVE_UP, Ended, edtwin
from validation.mountings.record import code_digest, entry
from validation.serial.limit import EDGE_PER_ANGSTROM, information_limit, shells_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """summary: of the run; complaint: what a stage that gave up said, else empty; code: digest of what made it;
    recipe: how it was asked for."""

    summary: dict[str, Any]
    complaint: str = ""
    code: str = ""
    recipe: str = ""

    def get(self, *keys: str) -> Any:
        """An entry of the summary by its path; None when anything on the way is missing."""
        return entry(self.summary, keys)


def completed(*arguments: str, sets: Sequence[str] = ()) -> Ended:
    """``edtwin`` with an end that says something about the data; a defect does not."""
    ended = edtwin(*arguments, sets=sets)
    if ended.code not in (0, GAVE_UP):
        raise InputError(f"edtwin {' '.join(arguments)} ended with {ended.code}: {ended.said}")
    return ended


def finished(run: Path, ended: Ended) -> Finished:
    """What a run folder has come to."""
    path = run / "summary.json"
    summary = parse_json(path.read_text(encoding="utf-8"), source=str(path))
    return Finished(summary=summary, complaint=ended.said)


def kept(record: Path, *, recipe: str) -> Finished | None:
    """What an earlier start with the same code left there, if it was asked for in the same way."""
    try:
        found = read_json(Finished, record) if record.is_file() else None
    except InputError:  # damaged, or written by another version: made anew
        return None
    return found if found is not None and (found.code, found.recipe) == (code_digest(), recipe) else None


def keep(record: Path, made: Finished, *, recipe: str) -> Finished:
    """``made`` as it is kept, for the code as it is now."""
    whole = replace(made, code=code_digest(), recipe=recipe)
    write_json(record, whole)
    return whole


def kept_run(
    name: str, *, scenario: str, sets: Sequence[str], folder: Path, limit: bool = False, run: Path | None = None
) -> Finished:
    """The run ``name``, from ``folder`` when the same code made it before.

    ``run``: a run folder to go on from, which stays; without one it is made below ``folder`` and removed afterwards.
    ``limit``: reduced once more to the edge of the detector; the summary gets ``information_limit_per_angstrom``.
    """
    record, recipe = folder / f"{name}.json", f"{scenario} {' '.join(sets)} limit {limit}"
    path = folder / f"{name}-run" if run is None else run

    def make() -> Finished:
        made = finished(path, completed("run", scenario, "-o", str(path), "--resume", "--workers", "2", sets=sets))
        return _with_limit(path, made) if limit and not made.complaint else made

    found = kept(record, recipe=recipe) or keep(record, make(), recipe=recipe)
    if run is None and path.is_dir():
        shutil.rmtree(path)
    return found


def _with_limit(run: Path, made: Finished) -> Finished:
    completed("reduce", str(run), sets=[f"reduction.g_max_per_angstrom={EDGE_PER_ANGSTROM}"])
    return replace(
        made, summary={**made.summary, "information_limit_per_angstrom": information_limit(*shells_of(run))}
    )
