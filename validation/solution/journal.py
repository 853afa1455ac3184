"""Trials that have been made are kept, line by line: a study that was cut off goes on. Digests of the code that trials
and the rows beside them depend on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from validation.kept import ROOT, digest_of
from validation.solution.trial import Trial

_SOURCES = (
    "pipeline/solution/*.py", "validation/compare/*.py", "validation/solution/conditions.py",
    "validation/solution/materials.py", "validation/solution/trial.py", "twin/physics/structure_factors.py",
    "twin/physics/symmetry.py", "twin/physics/two_beam.py",
)  # fmt: skip
_APART = ("laue.py", "lists.py", "output.py")  # before and after: trials have their data, and judge the model alone
_MORE = (
    "pipeline/solution/*.py", "pipeline/io/cif_pets.py", "validation/solution/measured.py",
    "validation/solution/peer.py", "validation/solution/matcher.py", "validation/solution/flipping.py",
    "validation/peers/cctbx_flipping.py", "validation/peers/pymatgen_matcher.py",
)  # fmt: skip


@cache
def code_digest() -> str:
    """Digest of the code that trials depend on: lines of another state are not used again."""
    return digest_of(p for pattern in _SOURCES for p in sorted(ROOT.glob(pattern)) if p.name not in _APART)


@cache
def settings_digest() -> str:
    """The same for trials of random structures in every setting."""
    return code_digest()[:8] + digest_of([ROOT / "validation/solution/settings.py"])[:8]


@cache
def rows_digest() -> str:
    """Digest of the code that the rows beside the trials depend on: measured lists and peers."""
    return digest_of(p for pattern in (*_SOURCES, *_MORE) for p in sorted(ROOT.glob(pattern)))


class Trying(Protocol):
    """What a journal keeps: a trial with a key."""

    @property
    def key(self) -> tuple[str, str, int]: ...

    def run(self) -> Trial: ...


class Journal:
    """A file of trials, one JSON object a line, written as they end; ``code``: digest of what decides them."""

    def __init__(self, path: Path, *, code: str) -> None:
        self._path, self._code = path, code
        self._kept: dict[tuple[str, str, int], Trial] = {}
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                record = _parsed(line)
                if record is not None and record.pop("code", "") == code:
                    trial = _trial(record)
                    self._kept[(trial.material, trial.condition, trial.seed)] = trial

    def completed(self, tasks: Iterable[Trying]) -> Iterator[Trial]:
        """Every task's trial: the kept one, or a new one that is written at once."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        for task in tasks:
            trial = self._kept.get(task.key)
            if trial is None:
                trial = task.run()
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"code": self._code, **asdict(trial)}) + "\n")
            yield trial


def _parsed(line: str) -> dict[str, Any] | None:
    """The object of a line; None for one that was cut off."""
    try:
        found = json.loads(line)
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _trial(record: dict[str, Any]) -> Trial:
    evidence = tuple((str(name), float(value)) for name, value in record.pop("evidence", ()))
    return Trial(**record, evidence=evidence)
