"""One run of a scenario with one seed, as a record that is kept: what came out, or why nothing did."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from twin.files.json import read_json, write_json

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """exit_code: that of ``edtwin run``; complaint: what it said; code: digest of the code; summary: summary.json."""

    scenario: str
    seed: int
    code: str
    exit_code: int
    complaint: str
    cpu_s: float
    summary: dict[str, Any] | None

    def get(self, *keys: str) -> Any:
        """An entry of the summary by its path; None when anything on the way is missing."""
        found: Any = self.summary
        for key in keys:
            if not isinstance(found, Mapping) or key not in found:
                return None
            found = found[key]
        return found

    @property
    def finished(self) -> bool:
        """Whether the chain came to its end with a dynamical refinement."""
        return self.get("dynamical", "r_obs_percent") is not None


def record_path(folder: Path, *, scenario: str, seed: int) -> Path:
    """Where the record of a run lies."""
    return folder / f"{scenario}-{seed}.json"


def write_record(folder: Path, record: Record) -> None:
    """Write it atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(record_path(folder, scenario=record.scenario, seed=record.seed), record)


def read_records(folder: Path, scenarios: Sequence[str] | None = None) -> tuple[Record, ...]:
    """All records of a folder, in the order of scenario and seed; none when there is no folder."""
    found = [read_json(Record, path) for path in folder.glob("*-*.json")] if folder.is_dir() else []
    kept = [r for r in found if scenarios is None or r.scenario in scenarios]
    return tuple(sorted(kept, key=lambda r: (r.scenario, r.seed)))


@cache
def code_digest() -> str:
    """Digest of the code that makes frames and structures; tells records of different states apart."""
    digest = hashlib.sha256()
    for package in ("twin", "hardware", "pipeline"):
        for path in sorted((_ROOT / package).rglob("*.py")):
            digest.update(path.relative_to(_ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]
