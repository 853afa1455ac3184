"""One function over many tasks on several processes, with results in the order of the tasks.

Every worker, and also the calling process when ``workers`` is 1, runs BLAS, OpenMP and numba with one thread: results
are bit-equal for any number of workers, and two workers do not fight for the same cores.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

T = TypeVar("T")
R = TypeVar("R")
_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class WorkerDied(RuntimeError):
    """A worker process ended without an answer (killed, or out of memory)."""


def ordered_map(
    function: Callable[[T], R],
    tasks: Sequence[T],
    *,
    workers: int = 1,
    on_result: Callable[[int, R], None] | None = None,
) -> list[R]:
    """``[function(task) for task in tasks]`` on ``workers`` processes.

    ``function`` must be importable (a module's function, or a ``functools.partial`` of one); it is sent once to each
    worker. ``on_result(index, result)`` is called in this process in the order of the tasks, as soon as all the
    earlier ones are there. The first exception in a task stops everything and is raised here.
    """
    results: list[R] = []
    for index, result in enumerate(ordered_stream(function, tasks, workers=workers)):
        results.append(result)
        if on_result is not None:
            on_result(index, result)
    return results


def ordered_stream(function: Callable[[T], R], tasks: Sequence[T], *, workers: int = 1) -> Iterator[R]:
    """Results one by one in the order of the tasks; workers wait for the reader after one task each."""
    waiting: dict[int, R] = {}
    following = 0
    for index, result in completed_stream(function, tasks, workers=workers):
        waiting[index] = result
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def completed_stream(function: Callable[[T], R], tasks: Sequence[T], *, workers: int = 1) -> Iterator[tuple[int, R]]:
    """(index, result) in the order in which they are done: for work whose every result is to be kept at once."""
    if workers < 1:
        raise ValueError(f"workers is {workers}; it must be 1 or more")
    if workers == 1 or len(tasks) < 2:
        with single_threaded():
            for index, task in enumerate(tasks):
                yield index, function(task)
        return
    yield from _pool(function, tasks, workers=min(workers, len(tasks)))


@contextmanager
def single_threaded() -> Iterator[None]:
    """One thread for BLAS, OpenMP and numba inside the block."""
    import numba

    threads = numba.get_num_threads()
    with threadpool_limits(limits=1):
        numba.set_num_threads(1)
        try:
            yield
        finally:
            numba.set_num_threads(threads)


def _pool(function: Callable[[T], R], tasks: Sequence[T], *, workers: int) -> Iterator[tuple[int, R]]:
    running: dict[Connection, tuple[SpawnProcess, int | None]] = {}
    pending = iter(range(len(tasks)))
    try:
        with _worker_environment():
            for _ in range(workers):
                connection, process = _start(function)
                running[connection] = (process, None)
        for connection in list(running):
            _hand_out(running, connection, pending, tasks)
        while any(task is not None for _, task in running.values()):
            for ready in wait([c for c, (_, task) in running.items() if task is not None]):
                assert isinstance(ready, Connection)
                index, result = _collect(running, ready)
                _hand_out(running, ready, pending, tasks)
                yield index, result
    finally:
        _stop(running)


def _hand_out(
    running: dict[Connection, tuple[SpawnProcess, int | None]],
    connection: Connection,
    pending: Iterator[int],
    tasks: Sequence[T],
) -> None:
    index = next(pending, None)
    process, _ = running[connection]
    running[connection] = (process, index)
    if index is not None:
        with suppress(BrokenPipeError):  # a dead worker is reported when its answer is awaited
            connection.send((index, tasks[index]))


def _collect(running: dict[Connection, tuple[SpawnProcess, int | None]], connection: Connection) -> tuple[int, Any]:
    process, task = running[connection]
    try:
        index, done, value = connection.recv()
    except (EOFError, ConnectionResetError):
        process.join(timeout=5.0)
        raise WorkerDied(
            f"a worker process ended with code {process.exitcode} during task {task}"
            " (killed, or out of memory); what was finished before is kept, and fewer workers need less memory"
        ) from None
    if done:
        return index, value
    error, text = value
    error.add_note(f"in task {index} of a worker process:\n{text}")
    raise error


def _start(function: Callable[[T], R]) -> tuple[Connection, SpawnProcess]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, function), daemon=True)
    process.start()
    there.close()
    return here, process


def _stop(running: dict[Connection, tuple[SpawnProcess, int | None]]) -> None:
    for connection, (process, task) in running.items():
        if task is None:
            with suppress(OSError):
                connection.send(None)
        else:
            process.terminate()
    for connection, (process, _) in running.items():
        process.join(timeout=2.0)
        if process.is_alive():
            process.kill()
            process.join()
        connection.close()


def _serve(connection: Connection, function: Callable[[Any], Any]) -> None:
    """Life of a worker: the parent alone reacts to Ctrl-C; the end of the parent is the end of the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with single_threaded():
        while True:
            try:
                message = connection.recv()
            except EOFError:
                return
            if message is None:
                return
            index, task = message
            try:
                answer = (index, True, function(task))
            except Exception as error:
                answer = (index, False, (_sendable(error), traceback.format_exc()))
            try:
                connection.send(answer)
            except BrokenPipeError:
                return


def _sendable(error: Exception) -> Exception:
    """The error itself when it survives the way between processes, else its text."""
    from multiprocessing.reduction import ForkingPickler

    try:
        copy = ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error if type(copy) is type(error) else RuntimeError(f"{type(error).__name__}: {error}")


@contextmanager
def _worker_environment() -> Iterator[None]:
    """One thread for libraries that read the environment when they are loaded; restored afterwards."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
