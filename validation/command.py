"""The command ``edtwin`` in a process of its own, as a user starts it: the scenarios lie above this package."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from twin.files.errors import InputError

GAVE_UP = 3  # a stage found no answer: a result too
_INTERRUPTED = 130
_RESULTS = (0, 1, GAVE_UP)  # 1: a defect of ours ended the run, and counts as one; all else says nothing about the data
_TOLD_CHARACTERS = 400

_running: set[subprocess.Popen[bytes]] = set()  # so that other threads' commands can be ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A command that ran: exit code, the end of what it said on stderr (empty when the code is 0), CPU seconds with
    those of its workers."""

    code: int
    said: str
    cpu_s: float


def edtwin(*arguments: str, sets: Sequence[str] = (), log: Path | None = None) -> Ended:
    """Run the command with its ``--set`` options; ``log`` keeps what it says on stderr.

    InputError for what is no result (a folder in use, a full disk, a wrong key); KeyboardInterrupt when it was
    interrupted.
    """
    options = [part for value in sets for part in ("--set", value)]
    with tempfile.TemporaryFile() if log is None else open(log, "w+b") as stderr:
        code, cpu_s = _run([*arguments, *options], stderr)
        stderr.seek(0)
        said = " ".join(stderr.read().decode("utf-8", errors="replace").split())[-_TOLD_CHARACTERS:]
    if code == _INTERRUPTED:
        raise KeyboardInterrupt
    if code not in _RESULTS:
        raise InputError(f"edtwin {' '.join(arguments[:2])} ended with {code}: {said}")
    return Ended(code=code, said=said if code else "", cpu_s=cpu_s)


def _run(arguments: Sequence[str], stderr: IO[bytes]) -> tuple[int, float]:
    """Exit code (negative: the signal that ended it) and CPU seconds; an interrupt here ends the command too."""
    command = [sys.executable, "-c", "from scenarios.cli import main; main()", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    _running.add(process)
    try:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        _running.discard(process)
    return process.returncode, usage.ru_utime + usage.ru_stime


def end_running() -> None:
    """Ask the commands of all threads to end; each leaves its folder so that it can be continued."""
    for process in tuple(_running):
        process.terminate()
