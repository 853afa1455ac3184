"""Run scenarios with many seeds through the command ``edtwin run``, as a user would, and keep a record of each.

A seed decides how the particle lies, and all noise. A record is written when a run ends; what is there stays.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twin.files.errors import InputError
from twin.files.json import parse_json
from validation.mountings.record import Record, code_digest, read_records, record_path, write_record

SEEDS_FROM = 1001
STUDY_ROWS = (
    "ito-01",
    "ito-02",
    "anatase",
    "brookite-cnrs-01",
    "brookite-cnrs-02",
    "mgti2o5",
    "ito-01-null",
)
_BULKY = ("truth/exposures", "frames.nxs", "peaks.npz", "density.ccp4", "report.html")
_ENDED = (0, 3)  # came to its end, or a stage gave up with a sentence


NULL, RANDOM = "ito-01-null", "mgti2o5-random"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run. sets: overrides of the scenario; label: what its record is called when not as the scenario.

    again: label and overrides of a second refinement of the same reflections, with a record of its own.
    """

    scenario: str
    seed: int
    label: str = ""
    sets: tuple[str, ...] = ()
    again: tuple[str, tuple[str, ...]] | None = None

    @property
    def name(self) -> str:
        return self.label or self.scenario


_SPECIAL = {
    NULL: ("ito-01", ("engine.kind=kinematical", "refinement.interaction=refined")),
}
_AGAIN = {"mgti2o5": (RANDOM, ("refinement.occupancies=fixed",))}


def jobs_of(names: Sequence[str], *, count: int) -> list[Job]:
    """``count`` mountings of each scenario (or special case), seed by seed: an interrupted study has some of each.

    One mounting of the null is enough.
    """
    jobs = []
    for k in range(count):
        for name in names:
            scenario, sets = _SPECIAL.get(name, (name, ()))
            if name != NULL or k == 0:
                jobs.append(
                    Job(scenario=scenario, label=name, seed=SEEDS_FROM + k, sets=sets, again=_AGAIN.get(name))
                )
    return jobs


def run_mountings(
    jobs: Sequence[Job],
    *,
    folder: Path,
    workers: int = 1,
    keep_runs: bool = True,
    show: Callable[[str], None] = print,
) -> tuple[Record, ...]:
    """Run what has no record yet in ``folder``; returns all records that belong to the jobs' scenarios."""
    missing = [j for j in jobs if not record_path(folder, scenario=j.name, seed=j.seed).is_file()]

    def work(job: Job) -> None:
        for record in run_job(job, folder=folder, keep=keep_runs):
            write_record(folder, record)
            show(_line(record))

    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        list(pool.map(work, missing))
    return read_records(folder)


def run_job(job: Job, *, folder: Path, keep: bool) -> list[Record]:
    """``edtwin run`` in a process of its own; what fills the disk is removed afterwards. Its own record comes last."""
    path = folder / "runs" / f"{job.name}-{job.seed}"
    path.parent.mkdir(parents=True, exist_ok=True)
    overrides = [f"seed={job.seed}", *job.sets]
    ended = _edtwin("run", job.scenario, "-o", str(path), "--resume", sets=overrides, log=path.with_suffix(".log"))
    records = [_record(job.name, job, path, ended)]
    if job.again is not None and ended[0] == 0:
        label, sets = job.again
        ended = _edtwin("refine", str(path), sets=sets, log=path.with_suffix(".log"))
        _edtwin("report", str(path), sets=(), log=path.with_suffix(".log"))
        records.insert(0, _record(label, job, path, ended))
    _slim(path, everything=not keep)
    return records


def _record(name: str, job: Job, path: Path, ended: tuple[int, str, float]) -> Record:
    code, said, cpu_s = ended
    if code not in _ENDED:
        raise InputError(f"mounting {job.seed} of {name} ended with {code}: {said}")
    summary: dict[str, Any] | None = None
    if (path / "summary.json").is_file():
        summary = parse_json((path / "summary.json").read_text(encoding="utf-8"), source=str(path / "summary.json"))
    return Record(
        scenario=name,
        seed=job.seed,
        code=code_digest(),
        exit_code=code,
        complaint=said,
        cpu_s=cpu_s,
        summary=summary,
    )


def _edtwin(*arguments: str, sets: Sequence[str], log: Path) -> tuple[int, str, float]:
    command = [sys.executable, "-c", "from scenarios.cli.app import main; main()", *arguments]
    for override in sets:
        command += ["--set", override]
    return _run(command, log=log)


def _run(command: Sequence[str], *, log: Path) -> tuple[int, str, float]:
    """Exit code, the end of what was said on stderr, and CPU seconds of the process with its own children."""
    with open(log, "w+", encoding="utf-8") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        words = " ".join(said.read().split())
    return process.returncode, words[-400:], usage.ru_utime + usage.ru_stime


def _slim(path: Path, *, everything: bool) -> None:
    for name in ("",) if everything else _BULKY:
        target = path / name
        if target.is_dir():
            shutil.rmtree(target)
        elif target.is_file():
            target.unlink()


def _line(record: Record) -> str:
    def number(*keys: str) -> str:
        value = record.get(*keys)
        return f"{value:.4g}" if isinstance(value, float) else "-"

    return (
        f"{record.scenario} {record.seed}: R kin {number('kinematical', 'averaged', 'r_obs_percent')}, "
        f"{number('kinematical', 'non_averaged', 'r_obs_percent')}, "
        f"{number('kinematical', 'frame_based', 'r_obs_percent')}, dyn {number('dynamical', 'r_obs_percent')} %; "
        f"mean {number('kinematical', 'averaged', 'mean_distance_angstrom')} -> "
        f"{number('dynamical', 'mean_distance_angstrom')} A; pulls {number('dynamical', 'pulls', 'mean_square')}; "
        f"{record.cpu_s:.0f} CPU s {record.complaint}"
    )
