"""Commands that make and continue run folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scenarios.cli.exits import STAGE_FAILED, complain, interruptible
from scenarios.cli.options import Out, Overwrite, Resume, Sets, Target, Workers
from twin.files.errors import InputError

if TYPE_CHECKING:
    from scenarios.run import RunResult

_KEPT = "what is finished stays in the run folder"
_RESUME = f"{_KEPT}; the same command with --resume and without --overwrite goes on from there"
_SAME = f"{_KEPT}; the same command goes on from there, unless it says --overwrite"
_STAGES = "what other stages left in the run folder stays; the same command makes its own stages again"


def run(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO")],
    out: Out = None,
    sets: Sets = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    workers: Workers = 1,
) -> None:
    """Run a scenario from its atoms to the refined structure and its comparison with the truth."""
    with interruptible(_RESUME):
        result = _run_scenario(scenario, out=out, sets=sets or (), resume=resume, overwrite=overwrite, workers=workers)
        _print_summary(result.folder.path, result.summary)
    _end(result)


def simulate(
    target: Target, out: Out = None, sets: Sets = None, overwrite: Overwrite = False, workers: Workers = 1
) -> None:
    """Make the frames: the truth, its exposures, and the series that the virtual microscope records."""
    run_stages(target, ("simulate", "acquire"), out=out, sets=sets or (), overwrite=overwrite, workers=workers)


def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR")],
    summary_only: Annotated[bool, typer.Option("--summary-only", help="Leave the report as it is.")] = False,
) -> None:
    """Write summary.json and report.html of a run folder again."""
    from scenarios.run import summarise_folder

    summary = summarise_folder(directory, report=not summary_only)
    if summary_only:
        typer.echo(str(directory / "summary.json"))
    else:
        _print_summary(directory, summary)


def _run_scenario(
    scenario: str, *, out: Path | None, sets: Sequence[str], resume: bool, overwrite: bool, workers: int, **parts: Any
) -> RunResult:
    from scenarios.load import load_scenario
    from scenarios.progress import Bars
    from scenarios.run import refuse_planned, run_scenario

    loaded = load_scenario(scenario, overrides=sets)
    refuse_planned(loaded)
    path = out if out is not None else Path("runs") / loaded.name
    with Bars(console()).shown() as progress:
        return run_scenario(
            loaded, path=path, progress=progress, workers=workers, resume=resume, overwrite=overwrite, **parts
        )


def run_stages(
    target: str, stages: tuple[str, ...], *, out: Path | None, sets: Sequence[str], overwrite: bool, workers: int
) -> None:
    """One stage of a run folder, or a scenario up to and with this stage."""
    from scenarios.progress import Bars
    from scenarios.run import ORDER, run_in_folder

    if Path(target).is_dir():
        if out is not None:
            raise InputError("-o is for scenarios; a run folder is worked on where it is")
        with interruptible(_STAGES), Bars(console()).shown() as progress:
            result = run_in_folder(Path(target), progress=progress, workers=workers, stages=stages, overrides=sets)
    else:
        upto = ORDER[: ORDER.index(stages[-1]) + 1]
        with interruptible(_SAME):
            result = _run_scenario(
                target, out=out, sets=sets, resume=True, overwrite=overwrite, workers=workers, stages=upto,
                summarise=False,
            )  # fmt: skip
    typer.echo(str(result.folder.path))
    _end(result)


def _end(result: RunResult) -> None:
    if result.failed:
        sentences = "; ".join(f"{ended.stage} gave up: {ended.failed}" for ended in result.failed)
        raise typer.Exit(complain(sentences, STAGE_FAILED))


def _print_summary(path: Path, summary: Mapping[str, Any] | None) -> None:
    from scenarios.load import load_scenario
    from scenarios.stages.report import study_mapping
    from validation.study import study_table

    if summary is None:
        return
    scenario = load_scenario(path / "scenario.toml").scenario
    console().print(study_table(summary=summary, study=study_mapping(scenario), title=scenario.title))
    typer.echo(f"{path / 'summary.json'}\n{path / 'report.html'}")


def console() -> Any:
    from rich.console import Console

    return Console(stderr=False)
