"""The command ``edtwin``. Libraries that take long to load are loaded by the command that needs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from scenarios.cli import data, runs, tools
from scenarios.cli.exits import end_on_sigterm, guarded

app = typer.Typer(
    name="edtwin",
    help="Digital twin of three-dimensional electron diffraction on nanoparticles.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _bare(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command(name="list")(tools.list_scenarios)
for command in (
    *(tools.show, runs.run, runs.simulate, data.reduce, data.solve, data.refine),
    *(runs.report, tools.compare, tools.validate),
):
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point: errors are one sentence, exit codes 0, 2 (input), 3 (a stage gave up), 4 (machine), 130 (Ctrl-C)."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # parallel work is one process a core; results do not depend on their number
    end_on_sigterm()
    sys.exit(guarded(lambda: app(args=arguments, standalone_mode=False)))
