"""What a stage is, and how one is run: skipped when done, made again when stale, recorded when it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenarios.progress import Progress
from scenarios.runfolder import RunFolder, StageRecord, stage_key
from scenarios.schema import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a stage gets. ``keep_parts``: an earlier start had the same key, so parts of it may be continued."""

    folder: RunFolder
    name: str
    scenario: Scenario
    workers: int
    progress: Progress
    key: str = ""
    keep_parts: bool = False

    def file(self, name: str) -> Path:
        """A file of the run folder."""
        return self.folder.file(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a stage made: files relative to the run folder, and sentences for the reader."""

    outputs: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage: ``read`` opens its inputs (what is damaged there ends the run), ``work`` gets what was read.

    ``forgiving``: a ValueError of the work is a result (a sentence in the manifest), not the end of the run.
    """

    name: str
    title: str
    sources: tuple[str, ...]
    inputs: Callable[[Scenario], tuple[str, ...]]
    settings: Callable[[Scenario], Mapping[str, object]]
    work: Callable[[Context, Any], Outcome]
    read: Callable[[Context], Any] = lambda context: None
    wanted: Callable[[Scenario], bool] = lambda scenario: True
    forgiving: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a stage ended: done now, found done, or given up with a sentence."""

    stage: str
    skipped: bool
    failed: str | None


def run_stage(stage: Stage, context: Context, *, resume: bool) -> Ended:
    """Run one stage unless it is done already (``resume``)."""
    inputs = context.folder.hashes(stage.inputs(context.scenario))
    settings = stage.settings(context.scenario)
    key = stage_key(stage=stage.name, settings=settings, inputs=inputs, sources=stage.sources)
    if resume and context.folder.is_done(stage.name, key=key):
        context.progress.say(f"{stage.title}: done before, kept")
        return Ended(stage=stage.name, skipped=True, failed=None)
    keep = context.folder.begin(stage.name, key=key) and resume
    started = time.perf_counter()
    outcome, failed = _attempt(stage, _with_key(context, key=key, keep=keep))
    record = StageRecord(
        key=key,
        seconds=round(time.perf_counter() - started, 3),
        outputs=context.folder.hashes(outcome.outputs),
        failed=failed,
        notes=outcome.notes,
    )
    context.folder.finish(stage.name, record)
    for note in outcome.notes:
        context.progress.say(f"{stage.title}: {note}")
    if failed is not None:
        context.progress.say(f"{stage.title}: gave up: {failed}")
    return Ended(stage=stage.name, skipped=False, failed=failed)


def _attempt(stage: Stage, context: Context) -> tuple[Outcome, str | None]:
    loaded = stage.read(context)
    try:
        return stage.work(context, loaded), None
    except (ValueError, np.linalg.LinAlgError) as error:
        if not stage.forgiving:
            raise
        return Outcome(outputs=()), " ".join(str(error).split())[:400] or type(error).__name__


def _with_key(context: Context, *, key: str, keep: bool) -> Context:
    return Context(
        folder=context.folder,
        name=context.name,
        scenario=context.scenario,
        workers=context.workers,
        progress=context.progress,
        key=key,
        keep_parts=keep,
    )
