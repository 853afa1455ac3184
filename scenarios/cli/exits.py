"""How a command ends: exit codes, and one sentence for whatever went wrong."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from twin.files.errors import InputError

_USAGE: Any = typer.BadParameter.__mro__[2]  # ClickException, wherever this version of typer keeps it
BAD_INPUT, STAGE_FAILED, ENVIRONMENT, INTERRUPTED = 2, 3, 4, 130


class Interrupted(Exception):
    """Ctrl-C in a command that says what it leaves and how to go on."""


@contextmanager
def interruptible(what_helps: str) -> Iterator[None]:
    """Let Ctrl-C in the body end the command with a sentence of its own about what is left and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(what_helps) from None


def guarded(command: Callable[[], Any]) -> int:
    """Run a command and turn what it raises into one sentence on stderr and an exit code."""
    try:
        code = command()
        if code == INTERRUPTED:  # typer turns Ctrl-C inside a command into this code, without a word
            raise KeyboardInterrupt
    except InputError as error:
        return complain(str(error), BAD_INPUT)
    except _USAGE as error:
        return complain(f"{error.format_message()} (edtwin --help says more)", BAD_INPUT)
    except Interrupted as interrupted:
        return complain(f"interrupted; {interrupted}", INTERRUPTED)
    except (KeyboardInterrupt, typer.Abort):
        return complain("interrupted; the same command begins again", INTERRUPTED)
    except typer.Exit as error:
        return int(error.exit_code)
    except RuntimeError as error:
        if not _is_of_the_machine(error):
            raise
        return complain(str(error), ENVIRONMENT)
    except (OSError, MemoryError) as error:
        return complain(f"the machine refused: {str(error) or type(error).__name__}", ENVIRONMENT)
    return code if isinstance(code, int) else 0


def _is_of_the_machine(error: RuntimeError) -> bool:
    """A worker that died, or a device that failed: nothing that a traceback would explain."""
    from hardware.errors import DeviceError
    from twin.files.parallel import WorkerDied

    return isinstance(error, WorkerDied | DeviceError)


def complain(sentence: str, code: int) -> int:
    """Say one sentence on stderr and return the code to end with."""
    typer.echo(f"edtwin: {' '.join(sentence.split())}", err=True)
    return code


def warn(sentence: str) -> None:
    """Say one sentence of warning on stderr."""
    typer.echo(f"edtwin: warning: {sentence}", err=True)


def end_on_sigterm() -> None:
    """Leave through SystemExit on SIGTERM, so that workers and temporary files are cleaned up."""
    signal.signal(signal.SIGTERM, _terminated)


def _terminated(signum: int, frame: object) -> NoReturn:
    sys.exit(128 + signum)
