"""Commands around the runs: what there is, comparison of structures, validation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scenarios.cli.exits import interruptible
from scenarios.cli.options import Sets
from scenarios.cli.runs import console


def list_scenarios() -> None:
    """List the scenarios of the library."""
    from rich.table import Table

    from scenarios.load import library_names, load_scenario

    table = Table(box=None, pad_edge=False)
    for heading in ("scenario", "frames", "status", "title"):
        table.add_column(heading, overflow="fold")
    for name in library_names():
        scenario = load_scenario(name).scenario
        status = "ready" if scenario.status == "ready" else "not built yet"
        table.add_row(name, str(scenario.acquisition.frame_count), status, scenario.title)
    console().print(table)


def show(name: Annotated[str, typer.Argument(metavar="SCENARIO")], sets: Sets = None) -> None:
    """Show a scenario with every key as it would be used."""
    from scenarios.load import load_scenario
    from scenarios.toml import scenario_toml

    loaded = load_scenario(name, overrides=sets or ())
    typer.echo(scenario_toml(loaded.scenario, name=loaded.name, cif=str(loaded.cif_path)), nl=False)


def compare(
    reference: Annotated[Path, typer.Argument(metavar="A.cif")],
    other: Annotated[Path, typer.Argument(metavar="B.cif")],
    mode: Annotated[str, typer.Option(metavar="best|bcs", help="bcs: lattices first, like COMPSTRU.")] = "best",
) -> None:
    """Distances between the atoms of two structures after origin, setting and hand are matched."""
    from scenarios.comparison import compared

    console().print(compared(reference, other, mode=mode), highlight=False)


def validate(
    names: Annotated[list[str] | None, typer.Argument(metavar="[STUDY ...]", help="All when left out.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="For STUDY.json.")] = Path("runs/validate"),
    quick: Annotated[bool, typer.Option("--quick", help="A few minutes' worth.")] = False,
    pages: Annotated[Path | None, typer.Option("--pages", metavar="DIR", help="Write STUDY.md there too.")] = None,
) -> None:
    """Measure the project against other packages, limits and its goals."""
    from validation.studies import run_studies

    with interruptible(f"parts that are done are kept in {out}; the same command goes on from there"):
        run_studies(names or (), out=out, quick=quick, pages=pages, show=typer.echo)
