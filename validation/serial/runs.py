"""Runs of scenarios through the command line, as a user starts them; what is kept of each is its summary."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twin.files.errors import InputError
from twin.files.json import parse_json, read_json, write_json
from validation.mountings.record import code_digest
from validation.serial.limit import EDGE_PER_ANGSTROM, information_limit, shells_of

GAVE_UP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """summary: of the run; complaint: what a stage that gave up said, else empty; code: digest of what made it."""

    summary: dict[str, Any]
    complaint: str = ""
    code: str = ""

    def get(self, *keys: str) -> Any:
        """An entry of the summary by its path; None when anything on the way is missing."""
        found: Any = self.summary
        for key in keys:
            if not isinstance(found, Mapping) or key not in found:
                return None
            found = found[key]
        return found


def edtwin(*arguments: str) -> str:
    """Run the command; what a stage that gave up said, else an empty text."""
    command = [sys.executable, "-c", "from scenarios.cli.app import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, GAVE_UP):
        raise InputError(f"edtwin {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return " ".join(done.stderr.split())[-200:] if done.returncode == GAVE_UP else ""


def overrides(sets: Sequence[str]) -> list[str]:
    """As options of the command line."""
    return [part for value in sets for part in ("--set", value)]


def finished(run: Path, complaint: str) -> Finished:
    """What a run folder has come to."""
    path = run / "summary.json"
    summary = parse_json(path.read_text(encoding="utf-8"), source=str(path))
    return Finished(summary=summary, complaint=complaint, code=code_digest())


def kept(record: Path) -> Finished | None:
    """What an earlier start with the same code left there."""
    found = read_json(Finished, record) if record.is_file() else None
    return found if found is not None and found.code == code_digest() else None


def kept_run(name: str, *, scenario: str, sets: Sequence[str], folder: Path, limit: bool = False) -> Finished:
    """The run ``name``, from ``folder`` when the same code made it before; the run folder is removed afterwards.

    ``limit``: reduced once more to the edge of the detector; the summary gets ``information_limit_per_angstrom``.
    """
    record = folder / f"{name}.json"
    before = kept(record)
    if before is not None:
        return before
    run = folder / f"{name}-run"
    complaint = edtwin("run", scenario, "-o", str(run), "--resume", "--workers", "2", *overrides(sets))
    made = finished(run, complaint)
    if limit and not complaint:
        edtwin("reduce", str(run), *overrides([f"reduction.g_max_per_angstrom={EDGE_PER_ANGSTROM}"]))
        reached = information_limit(*shells_of(run))
        made = replace(made, summary={**made.summary, "information_limit_per_angstrom": reached})
    write_json(record, made)
    shutil.rmtree(run)
    return made
