"""Run scenarios with many seeds through the command ``edtwin``, as a user would, and keep a record of each.

A seed decides how the particle lies, and all noise. A record is written when a run is solved and again when it is
refined; what is there stays. Run folders stay too while the disk has room, so that a run goes on from its frames.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from twin.files.errors import InputError
from twin.files.json import parse_json
from validation.command import edtwin, end_running
from validation.mountings.jobs import Job
from validation.mountings.record import (
    REFINED,
    SOLVED,
    Record,
    digests_through,
    read_record,
    read_records,
    record_path,
    write_record,
)

KEEP_FREE_BYTES = 10 * 1024**3  # of the disk; below it the frames of finished runs are removed
_FRAMES, _ATOMS = "frames.nxs", "solution.cif"
_BULKY = ("truth/exposures", _FRAMES, "peaks.npz", "density.ccp4", "report.html")

Say = Callable[[str], None]


def run_mountings(
    jobs: Sequence[Job], *, folder: Path, workers: int = 1, through: str = REFINED, show: Say = print
) -> tuple[Record, ...]:
    """Run what has no record yet in ``folder``; returns all records there. through: 'solve' leaves out refinements."""

    def work(job: Job) -> str:
        try:
            _run_job(job, folder=folder, through=through, show=show)
        except InputError as error:
            show(str(error))
            return str(error)
        return ""

    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        try:
            failed = [text for text in pool.map(work, jobs) if text]
        except BaseException:  # interrupted: nobody waits for mountings that nobody will record
            pool.shutdown(wait=False, cancel_futures=True)
            end_running()
            raise
    if failed:
        raise InputError(f"{len(failed)} of {len(jobs)} mountings could not be run; the first: {failed[0]}")
    return read_records(folder)


def run_folder(folder: Path, job: Job) -> Path:
    """Where the run of a mounting lies."""
    return folder / "runs" / f"{job.name}-{job.seed}"


def _run_job(job: Job, *, folder: Path, through: str, show: Say) -> None:
    """Take one run as far as asked, with a record after each part."""
    path = run_folder(folder, job)

    def keep(record: Record) -> Record:
        write_record(folder, record)
        show(line(record))
        return record

    record = _of_this_solver(job, folder=folder, path=path)
    if record is None:
        record = keep(_solved(job, path))
    if job.refined and through == REFINED:
        if not record.complete:
            record = keep(_refined(job.name, (), path, record))
        if job.again is not None and record.finished:
            label, sets = job.again
            if read_record(folder, scenario=label, seed=job.seed) is None:
                keep(_refined(label, sets, path, record))
    if (record.complete or not job.refined) and shutil.disk_usage(folder).free < KEEP_FREE_BYTES:
        _slim(path)


def _of_this_solver(job: Job, *, folder: Path, path: Path) -> Record | None:
    """The record of a job; its reflections are solved again where nothing but the solution's code has changed since.

    The same atoms to the last digit of the CIF: what was refined from them holds, and the record gets what is said of
    the solution now. Other atoms: its records are removed, and the run goes on from its reflections.
    """
    names = (job.name, *(() if job.again is None else job.again[:1]))
    known = [r for r in (read_record(folder, scenario=name, seed=job.seed) for name in names) if r is not None]
    atoms = path / _ATOMS
    if known and _only_solver_changed(known[0]) and (path / _FRAMES).is_file() and atoms.is_file():
        before = atoms.read_bytes()
        edtwin("solve", str(path), log=_log(path))
        if atoms.is_file() and atoms.read_bytes() == before:
            said = (_summary(path)[0] or {}).get("solution")
            for record in known:
                whole = {**(record.summary or {}), "solution": said}
                write_record(folder, replace(record, code={**record.code, **digests_through(SOLVED)}, summary=whole))
        else:
            for record in known:
                record_path(folder, scenario=record.scenario, seed=record.seed).unlink()
    return read_record(folder, scenario=job.name, seed=job.seed)


def _only_solver_changed(record: Record) -> bool:
    changed = {part for part, digest in digests_through(SOLVED).items() if record.code.get(part) != digest}
    return changed == {"solution"}


def _solved(job: Job, path: Path) -> Record:
    """Frames, reduction and solution; stages that the folder holds are not made again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sets = (f"seed={job.seed}", *job.sets)
    ended = edtwin("solve", job.scenario, "-o", str(path), sets=sets, log=_log(path))
    summary, seconds = _summary(path)
    return Record(
        scenario=job.name, seed=job.seed, through=SOLVED, code=digests_through(SOLVED), exit_code=ended.code,
        complaint=ended.said, cpu_s=ended.cpu_s + seconds, summary=summary,
    )  # fmt: skip


def _refined(name: str, sets: Sequence[str], path: Path, before: Record) -> Record:
    """The same run with its refinements: the code of reduction and solution is that of the record before."""
    ended = edtwin("refine", str(path), sets=sets, log=_log(path))
    summary, seconds = _summary(path)
    now = digests_through(REFINED)
    return replace(
        before, scenario=name, through=REFINED, exit_code=ended.code, complaint=ended.said, summary=summary,
        cpu_s=before.cpu_s + ended.cpu_s + seconds,
        code={**before.code, "refinement": now["refinement"], "comparison": now["comparison"]},
    )  # fmt: skip


def _summary(path: Path) -> tuple[dict[str, Any] | None, float]:
    """``summary.json`` of a run folder, made anew, and the CPU seconds for it; None where no run was begun."""
    if not (path / "manifest.json").is_file():
        return None, 0.0
    ended = edtwin("report", str(path), "--summary-only", log=_log(path))
    if ended.code != 0:
        raise InputError(f"{path}: no summary: {ended.said}")
    file = path / "summary.json"
    return parse_json(file.read_text(encoding="utf-8"), source=str(file)), ended.cpu_s


def _log(path: Path) -> Path:
    return path.with_name(path.name + ".log")


def _slim(path: Path) -> None:
    """Remove what fills the disk; what is left is enough to look at the result."""
    for name in _BULKY:
        target = path / name
        if target.is_dir():
            shutil.rmtree(target)
        elif target.is_file():
            target.unlink()


def line(record: Record) -> str:
    """A record in one line."""

    def number(*keys: str) -> str:
        value = record.get(*keys)
        return f"{value:.4g}" if isinstance(value, float) else "-"

    if record.through == SOLVED:
        text = f"{record.get('solution', 'verdict')}, largest {number('solution', 'max_distance_angstrom')} A"
    else:
        kinds = ("averaged", "non_averaged", "frame_based")
        r = ", ".join(number("kinematical", kind, "r_obs_percent") for kind in kinds)
        text = f"R kin {r}, dyn {number('dynamical', 'r_obs_percent')} %; mean "
        text += f"{number('kinematical', 'averaged', 'mean_distance_angstrom')} -> "
        text += f"{number('dynamical', 'mean_distance_angstrom')} A; "
        text += f"pulls {number('dynamical', 'pulls', 'mean_square')}"
    return f"{record.scenario} {record.seed}: {text}; {record.cpu_s:.0f} CPU s {record.complaint}".rstrip()
