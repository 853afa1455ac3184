"""Frames spread over processes that live as long as a refinement: starting one costs more than a cycle."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Protocol

from threadpoolctl import threadpool_limits

from pipeline.refinement.engine import FrameEngine
from pipeline.refinement.parameters import Parametrisation
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.tasks import FrameResult, FrameTask
from twin.files.parallel import WorkerDied


class FrameMap(Protocol):
    """Results of frames in the order of the tasks."""

    def __call__(self, tasks: Sequence[FrameTask]) -> list[FrameResult]: ...


_engines: list[FrameEngine] = []


def _start(parametrisation: Parametrisation, settings: DynamicalSettings, energy_kev: float) -> None:
    threadpool_limits(limits=1)
    _engines[:] = [FrameEngine(parametrisation=parametrisation, settings=settings, energy_kev=energy_kev)]


def _evaluate(task: FrameTask) -> FrameResult:
    return _engines[0].evaluate(task)


@contextmanager
def frame_map(
    *,
    parametrisation: Parametrisation,
    settings: DynamicalSettings,
    energy_kev: float,
    workers: int = 1,
) -> Iterator[FrameMap]:
    """A map over frames with one engine (``workers`` = 1, in this process) or one a process."""
    if workers <= 1:
        engine = FrameEngine(parametrisation=parametrisation, settings=settings, energy_kev=energy_kev)
        with threadpool_limits(limits=1):
            yield lambda tasks: [engine.evaluate(task) for task in tasks]
        return
    pool = ProcessPoolExecutor(
        max_workers=workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(parametrisation, settings, energy_kev),
    )
    try:
        yield lambda tasks: list(pool.map(_evaluate, tasks))
    except BrokenProcessPool as error:
        raise WorkerDied("a process of the refinement was ended from outside (killed, or out of memory)") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
