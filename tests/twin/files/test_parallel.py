"""Order, bit equality for any number of workers, dead workers, errors, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

from twin.files.parallel import WorkerDied, completed_stream, ordered_map


def _spectrum(seed: int, *, size: int = 96) -> bytes:
    matrix = np.random.default_rng(seed).normal(size=(size, size))
    return np.linalg.eigh(matrix @ matrix.T)[1].tobytes()


def _sleep_then(task: float) -> float:
    time.sleep(task)
    return task


def _die_at(task: int, *, victim: int) -> int:
    if task == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def _refuse_at(task: int) -> int:
    if task == 2:
        raise ValueError("task two is not wanted")
    return task


def _threads(_: int) -> list[int]:
    from threadpoolctl import threadpool_info

    return [pool["num_threads"] for pool in threadpool_info()]


def test_results_are_bit_equal_for_one_and_two_workers() -> None:
    function = partial(_spectrum, size=80)
    assert ordered_map(function, range(5), workers=1) == ordered_map(function, range(5), workers=2)


def test_results_and_callbacks_come_in_the_order_of_the_tasks() -> None:
    seen: list[tuple[int, float]] = []
    tasks = [0.5, 0.0, 0.0, 0.0]
    assert ordered_map(_sleep_then, tasks, workers=2, on_result=lambda i, r: seen.append((i, r))) == tasks
    assert seen == list(enumerate(tasks))
    assert [index for index, _ in completed_stream(_sleep_then, tasks, workers=2)][-1] == 0


def test_a_killed_worker_is_a_sentence_that_names_the_task() -> None:
    with pytest.raises(WorkerDied, match=r"code -9 during task 1"):
        ordered_map(partial(_die_at, victim=1), range(4), workers=2)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_task_keeps_its_type_and_words(workers: int) -> None:
    with pytest.raises(ValueError, match="task two is not wanted"):
        ordered_map(_refuse_at, range(4), workers=workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_worker_has_one_blas_thread(workers: int) -> None:
    for counts in ordered_map(_threads, range(2), workers=workers):
        assert set(counts) <= {1}


def test_no_workers_is_refused() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        ordered_map(_refuse_at, [0], workers=0)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_promptly_and_leaves_no_worker(tmp_path, workers: int) -> None:
    script = tmp_path / "sleeper.py"
    script.write_text(
        "import signal\nimport time\nfrom twin.files.parallel import ordered_map\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job has none
        "def work(task):\n    print('busy\\n', end='', flush=True)\n    time.sleep(60)\n"
        f"if __name__ == '__main__':\n    ordered_map(work, [1, 2, 3], workers={workers})\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"busy\n"  # one write a line: workers share the pipe
    start = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=15)  # returns when every holder of the pipe is gone, workers included
    assert time.monotonic() - start < 8.0
    assert process.returncode in (130, -signal.SIGINT, 1)
