"""One run of a scenario with one seed, as a record that is kept: what came out, or why nothing did."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from twin.files.json import read_json, write_json
from validation.kept import digest_of, files_of

FOLDER = "mountings"  # of the records, in that of the studies
SOLVED, REFINED = "solve", "refine"
# The code that decides each part of a record: folders, or modules without .py
PARTS: dict[str, tuple[str, ...]] = {
    "frames": (
        "twin/model", "twin/physics", "twin/specimen", "twin/response", "twin/files", "twin/simulate", "hardware",
        "scenarios/build", "scenarios/library", "scenarios/stages/simulate", "scenarios/stages/acquire",
    ),
    "reduction": ("pipeline/reduction", "pipeline/io", "pipeline/types", "scenarios/stages/reduce"),
    "solution": ("pipeline/solution", "scenarios/stages/solve", "scenarios/solving"),
    "refinement": ("pipeline/refinement", "twin/derivatives", "scenarios/stages/refine"),
    "comparison": (
        "validation/compare", "validation/structure", "validation/score", "validation/lattice_match",
        "validation/pulls", "validation/summary",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """through: how far the run was taken, 'solve' or 'refine'. exit_code: that of the last ``edtwin`` command;
    complaint: what it said when it gave up. code: digest of the code of each of its parts. summary: summary.json.
    """

    scenario: str
    seed: int
    through: str
    code: dict[str, str]
    exit_code: int
    complaint: str
    cpu_s: float
    summary: dict[str, Any] | None

    def get(self, *keys: str) -> Any:
        """An entry of the summary by its path; None when anything on the way is missing."""
        return entry(self.summary, keys)

    @property
    def finished(self) -> bool:
        """Whether the chain came to its end with a dynamical refinement."""
        return self.get("dynamical", "r_obs_percent") is not None

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do: refined, or given up before."""
        return self.through == REFINED or self.exit_code != 0


def entry(summary: Mapping[str, Any] | None, keys: Sequence[str]) -> Any:
    """What lies in a nested mapping at the end of a path; None when anything on the way is missing."""
    found: Any = summary
    for key in keys:
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return found


def record_path(folder: Path, *, scenario: str, seed: int) -> Path:
    """Where the record of a run lies."""
    return folder / f"{scenario}-{seed}.json"


def write_record(folder: Path, record: Record) -> None:
    """Write it atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(record_path(folder, scenario=record.scenario, seed=record.seed), record)


def read_record(folder: Path, *, scenario: str, seed: int) -> Record | None:
    """The record of one run; None when there is none."""
    path = record_path(folder, scenario=scenario, seed=seed)
    return read_json(Record, path) if path.is_file() else None


def read_records(folder: Path, scenarios: Sequence[str] | None = None) -> tuple[Record, ...]:
    """All records of a folder, in the order of scenario and seed; none when there is no folder."""
    found = [read_json(Record, path) for path in folder.glob("*-*.json")] if folder.is_dir() else []
    kept = [r for r in found if scenarios is None or r.scenario in scenarios]
    return tuple(sorted(kept, key=lambda r: (r.scenario, r.seed)))


@cache
def code_digests() -> dict[str, str]:
    """Digest of the code of each part as it is now; tells records of different states apart."""
    return {part: digest_of(files_of(names, endings=(".py", ".toml")))[:12] for part, names in PARTS.items()}


def digests_through(through: str) -> dict[str, str]:
    """Those of the parts that a record taken so far depends on."""
    return {part: value for part, value in code_digests().items() if through == REFINED or part != "refinement"}


@cache
def code_digest() -> str:
    """One digest of all parts together."""
    return hashlib.sha256("".join(code_digests().values()).encode()).hexdigest()[:12]
