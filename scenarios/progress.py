"""Progress of long work: a protocol that stages talk to, a bar for terminals, silence for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console


class Progress(Protocol):
    """What a stage may say while it works."""

    def begin(self, task: str, total: int | None = None) -> None:
        """A piece of work starts, of ``total`` steps when that is known."""

    def advance(self, steps: int = 1) -> None:
        """Steps of it are done."""

    def update(self, done: int, total: int) -> None:
        """``done`` of ``total`` steps are done."""

    def say(self, sentence: str) -> None:
        """Something worth reading."""


class Silent:
    """Says nothing; keeps what was said."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def begin(self, task: str, total: int | None = None) -> None:
        """Nothing to show."""

    def advance(self, steps: int = 1) -> None:
        """Nothing to show."""

    def update(self, done: int, total: int) -> None:
        """Nothing to show."""

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


class Bars:
    """One bar for the work at hand, with the time that is left, on a rich console."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._console = console
        self._bars = RichProgress(
            TextColumn("{task.description:<22}"), BarColumn(bar_width=32), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console,
        )  # fmt: skip
        self._task: int | None = None

    def begin(self, task: str, total: int | None = None) -> None:
        self._close()
        self._task = int(self._bars.add_task(task, total=total))

    def advance(self, steps: int = 1) -> None:
        if self._task is not None:
            self._bars.advance(self._task, steps)  # type: ignore[arg-type]

    def update(self, done: int, total: int) -> None:
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=total)  # type: ignore[arg-type]

    def say(self, sentence: str) -> None:
        self._console.print(sentence, highlight=False, markup=False)

    @contextmanager
    def shown(self) -> Iterator[Bars]:
        """Show the bars while the block runs."""
        with self._bars:
            yield self
            self._close()

    def _close(self) -> None:
        if self._task is None:
            return
        task = next(t for t in self._bars.tasks if t.id == self._task)
        total = task.total if task.total is not None else max(task.completed, 1)
        self._bars.update(task.id, total=total, completed=total)
        self._task = None
