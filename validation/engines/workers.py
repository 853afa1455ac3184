"""Throughput of one process and of two at the same time, by the wall clock."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.synchronize import Barrier
from time import perf_counter
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from validation.engines.problem import IN2O3, frame, solve
from validation.rows import Row, at_least

_BLAS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def worker_rows(*, quick: bool) -> list[Row]:
    """Frames a second (In2O3, 10 nm, 64 azimuths, 64 bit) of processes with one BLAS thread each, in a steady state.

    The processes start a round together and each counts what it finishes before the round ends. The best round counts,
    since other work on the machine only takes away.
    """
    rounds, seconds = (3, 1.0) if quick else (8, 1.5)
    found = {workers: rates(workers=workers, rounds=rounds, seconds=seconds) for workers in (1, 2)}
    one, two = (float(found[workers].max()) for workers in (1, 2))
    medians = [f"median of the rounds {np.median(found[workers]):.0f}" for workers in (1, 2)]
    goal, met = at_least(two / one, 1.8)
    cores = os.cpu_count() or 1
    return [
        Row(
            id="workers-one",
            quantity="one worker, In2O3 10 nm, 64 azimuths, 64 bit",
            value=one,
            unit="frames/s",
            n=rounds,
            note=medians[0],
        ),
        Row(id="workers-two", quantity="two workers, the same", value=two, unit="frames/s", n=rounds, note=medians[1]),
        Row(
            id="workers-ratio",
            quantity=f"two workers over one, {cores} cores",
            value=two / one,
            unit="×",
            goal=goal if cores > 1 else "",
            met=met if cores > 1 else None,
            n=rounds,
        ),
    ]


def rates(*, workers: int, rounds: int, seconds: float) -> Any:
    """Frames a second of all workers together, (rounds,)."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(workers), context.Queue()
    kept = {name: os.environ.get(name) for name in _BLAS}
    os.environ.update(dict.fromkeys(_BLAS, "1"))
    try:
        processes = [
            context.Process(target=_work, args=(barrier, queue, rounds, seconds), daemon=True) for _ in range(workers)
        ]
        for process in processes:
            process.start()
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    counts = np.array([queue.get(timeout=60.0 + 2.0 * rounds * seconds) for _ in processes])
    for process in processes:
        process.join()
    return counts.sum(axis=0)


def _work(barrier: Barrier, queue: Any, rounds: int, seconds: float) -> None:
    with threadpool_limits(1):
        problem = frame(IN2O3, thickness_angstrom=100.0)
        for _ in range(5):
            solve(problem)
        found = []
        for _ in range(rounds):
            barrier.wait()
            count, start = 0, perf_counter()
            while perf_counter() - start < seconds:
                solve(problem)
                count += 1
            found.append(count / (perf_counter() - start))
        queue.put(found)
