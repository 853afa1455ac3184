"""The command ``edtwin``. Libraries that take long to load are loaded by the command that needs them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from twin.files.errors import InputError

if TYPE_CHECKING:
    from scenarios.run import RunResult

_USAGE: Any = typer.BadParameter.__mro__[2]  # ClickException, wherever this version of typer keeps it
BAD_INPUT, STAGE_FAILED, ENVIRONMENT, INTERRUPTED = 2, 3, 4, 130

app = typer.Typer(
    name="edtwin",
    help="Digital twin of three-dimensional electron diffraction on nanoparticles.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the scenario.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", metavar="DIR", help="Run folder; runs/NAME by default.")]
Workers = Annotated[int, typer.Option("--workers", min=1, max=256, help="Processes to work with.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue what is in the folder; what is finished stays.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Empty a run folder and start again.")]
Target = Annotated[str, typer.Argument(metavar="DIR|SCENARIO", help="A run folder, a scenario, or a TOML file.")]


@app.callback(invoke_without_command=True)
def _bare(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(name="list")
def list_scenarios() -> None:
    """List the scenarios of the library."""
    from rich.console import Console
    from rich.table import Table

    from scenarios.load import library_names, load_scenario

    table = Table(box=None, pad_edge=False)
    for heading in ("scenario", "frames", "status", "title"):
        table.add_column(heading, overflow="fold")
    for name in library_names():
        scenario = load_scenario(name).scenario
        serial = scenario.acquisition.mode == "serial"
        status = "ready" if scenario.status == "ready" else "not built yet"
        table.add_row(name, "-" if serial else str(scenario.acquisition.frame_count), status, scenario.title)
    Console().print(table)


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="SCENARIO")], sets: Sets = None) -> None:
    """Show a scenario with every key as it would be used."""
    from scenarios.load import load_scenario
    from scenarios.toml import scenario_toml

    loaded = load_scenario(name, overrides=sets or ())
    typer.echo(scenario_toml(loaded.scenario, name=loaded.name, cif=str(loaded.cif_path)), nl=False)


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO")],
    out: Out = None,
    sets: Sets = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    workers: Workers = 1,
) -> None:
    """Run a scenario from its atoms to the refined structure and its comparison with the truth."""
    result = _run_scenario(scenario, out=out, sets=sets or (), resume=resume, overwrite=overwrite, workers=workers)
    _print_summary(result.folder.path, result.summary)
    _end(result)


@app.command()
def simulate(
    target: Target, out: Out = None, sets: Sets = None, overwrite: Overwrite = False, workers: Workers = 1
) -> None:
    """Make the frames: the truth, its exposures, and the series that the virtual microscope records."""
    _part(target, ("simulate", "acquire"), out=out, sets=sets or (), overwrite=overwrite, workers=workers)


@app.command()
def reduce(
    target: Annotated[str | None, typer.Argument(metavar="[DIR|SCENARIO]", help="Left out with --frames.")] = None,
    out: Out = None,
    sets: Sets = None,
    overwrite: Overwrite = False,
    workers: Workers = 1,
    frames: Annotated[str | None, typer.Option("--frames", metavar="PATH", help="Measured frames.")] = None,
    wavelength_angstrom: Annotated[float | None, typer.Option()] = None,
    energy_kev: Annotated[float | None, typer.Option()] = None,
    camera_length_mm: Annotated[float | None, typer.Option()] = None,
    angstrom_per_pixel: Annotated[float | None, typer.Option(help="Reciprocal size of a pixel, 1/Å.")] = None,
    pixel_size_um: Annotated[float | None, typer.Option()] = None,
    centre_fast_px: Annotated[float | None, typer.Option()] = None,
    centre_slow_px: Annotated[float | None, typer.Option()] = None,
    tilt_axis_deg: Annotated[float | None, typer.Option(help="From the fast axis towards the slow one.")] = None,
    alpha_start_deg: Annotated[float | None, typer.Option()] = None,
    step_deg: Annotated[float | None, typer.Option()] = None,
    mode: Annotated[str | None, typer.Option(help="precession, continuous or stills.")] = None,
    precession_deg: Annotated[float | None, typer.Option(help="Semi-angle.")] = None,
    counter_max: Annotated[int | None, typer.Option(help="Count that means overloaded.")] = None,
    g_max_per_angstrom: Annotated[float | None, typer.Option()] = None,
) -> None:
    """Reduce the frames of a run folder, or measured frames (--frames), to reflections."""
    if frames is None:
        if target is None:
            raise InputError("edtwin reduce: a run folder or a scenario is needed, or --frames PATH")
        return _part(target, ("reduce",), out=out, sets=sets or (), overwrite=overwrite, workers=workers)
    from pipeline.io.series.nominal import Nominal
    from scenarios.frames import Given, checked_mode, reduce_frames

    if target is not None:
        raise InputError(f"edtwin reduce: give '{target}' or --frames, not both")
    nominal = Nominal(
        wavelength_angstrom=wavelength_angstrom,
        camera_length_mm=camera_length_mm,
        pixel_size_um=pixel_size_um,
        centre_fast_px=centre_fast_px,
        centre_slow_px=centre_slow_px,
        tilt_axis_deg=tilt_axis_deg,
        alpha_start_deg=alpha_start_deg,
        step_deg=step_deg,
        mode=checked_mode(mode),
        precession_deg=precession_deg,
        counter_max=counter_max,
    )
    given = Given(energy_kev=energy_kev, angstrom_per_pixel=angstrom_per_pixel, g_max_per_angstrom=g_max_per_angstrom)
    folder = out if out is not None else Path("runs") / Path(frames).stem
    failed = reduce_frames(Path(frames), nominal=nominal, given=given, out=folder, show=typer.echo, warn=_warn)
    if failed:
        raise typer.Exit(_complain(failed, STAGE_FAILED))
    return None


@app.command()
def solve(
    target: Target, out: Out = None, sets: Sets = None, overwrite: Overwrite = False, workers: Workers = 1
) -> None:
    """Solve the structure from the reflections of a run folder."""
    _part(target, ("solve",), out=out, sets=sets or (), overwrite=overwrite, workers=workers)


@app.command()
def refine(
    target: Annotated[str | None, typer.Argument(metavar="[DIR|SCENARIO]", help="A run folder or a scenario.")] = None,
    data: Annotated[Path | None, typer.Option("--data", metavar="X.cif_pets", help="Measured frames instead.")] = None,
    model: Annotated[Path | None, typer.Option("--model", metavar="Y.cif|Y.res", help="Model for --data.")] = None,
    kinematical: Annotated[bool, typer.Option("--kinematical", help="With --data: only without dynamics.")] = False,
    dynamical: Annotated[bool, typer.Option("--dynamical", help="With --data: only with dynamics.")] = False,
    out: Out = None,
    sets: Sets = None,
    overwrite: Overwrite = False,
    workers: Workers = 1,
) -> None:
    """Refine the solution of a run folder, or a model against measured frames, kinematically and dynamically."""
    if data is not None or model is not None:
        _refine_measured(data, model, target, kinematical, dynamical, out, sets or (), overwrite, workers)
        return
    if target is None:
        raise InputError("edtwin refine needs a run folder, a scenario, or --data X.cif_pets with --model Y.cif")
    if kinematical or dynamical:
        raise InputError("--kinematical and --dynamical go with --data; a scenario says itself what is refined")
    stages = ("refine_kinematical", "refine_frame_based", "refine_dynamical")
    _part(target, stages, out=out, sets=sets or (), overwrite=overwrite, workers=workers)


def _refine_measured(
    data: Path | None,
    model: Path | None,
    target: str | None,
    kinematical: bool,
    dynamical: bool,
    out: Path | None,
    sets: Sequence[str],
    overwrite: bool,
    workers: int,
) -> None:
    from scenarios.measured import refine_measured, treatments_of

    if data is None or model is None or target is not None:
        raise InputError("--data X.cif_pets and --model Y.cif belong together, without a run folder or scenario")
    outcome = refine_measured(
        data=data, model=model, folder=out or Path("runs") / data.stem,
        treatments=treatments_of(kinematical=kinematical, dynamical=dynamical),
        sets=sets, workers=workers, overwrite=overwrite, say=typer.echo,
    )  # fmt: skip
    for r in outcome.refinements:
        free = "" if r.held_out_r_obs_percent is None else f", held-out frames {r.held_out_r_obs_percent:.2f} %"
        typer.echo(f"{r.kind}: R(obs) {r.r_obs_percent:.2f} %, R(all) {r.r_all_percent:.2f} %{free}; {r.verdict}")
    typer.echo(str(outcome.folder / "report.html"))


@app.command()
def report(directory: Annotated[Path, typer.Argument(metavar="DIR")]) -> None:
    """Write summary.json and report.html of a run folder again."""
    from scenarios.run import summarise_folder

    _print_summary(directory, summarise_folder(directory))


@app.command()
def compare(
    reference: Annotated[Path, typer.Argument(metavar="A.cif")], other: Annotated[Path, typer.Argument(metavar="B.cif")]
) -> None:
    """Distances between the atoms of two structures after origin, setting and hand are matched."""
    from scenarios.comparison import compared

    _console().print(compared(reference, other), highlight=False)


@app.command()
def validate(
    names: Annotated[list[str] | None, typer.Argument(metavar="[STUDY ...]", help="All when left out.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="For STUDY.json.")] = Path("runs/validate"),
    quick: Annotated[bool, typer.Option("--quick", help="A few minutes' worth.")] = False,
    pages: Annotated[Path | None, typer.Option("--pages", metavar="DIR", help="Write STUDY.md there too.")] = None,
) -> None:
    """Measure the project against other packages, limits and its goals."""
    from validation.studies import run_studies

    run_studies(names or (), out=out, quick=quick, pages=pages, show=typer.echo)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point: errors are one sentence, exit codes 0, 2 (input), 3 (a stage gave up), 4 (machine), 130 (Ctrl-C)."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # parallel work is one process a core; results do not depend on their number
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(_guarded(lambda: app(args=arguments, standalone_mode=False)))


def _guarded(command: Callable[[], Any]) -> int:
    try:
        code = command()
        if code == INTERRUPTED:  # typer turns Ctrl-C inside a command into this code, without a word
            raise KeyboardInterrupt
    except InputError as error:
        return _complain(str(error), BAD_INPUT)
    except _USAGE as error:
        return _complain(f"{error.format_message()} (edtwin --help says more)", BAD_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted; --resume continues where it stopped", INTERRUPTED)
    except typer.Exit as error:
        return int(error.exit_code)
    except RuntimeError as error:
        if not _is_of_the_machine(error):
            raise
        return _complain(str(error), ENVIRONMENT)
    except (OSError, MemoryError) as error:
        return _complain(f"the machine refused: {str(error) or type(error).__name__}", ENVIRONMENT)
    return code if isinstance(code, int) else 0


def _is_of_the_machine(error: RuntimeError) -> bool:
    """A worker that died, or a device that failed: nothing that a traceback would explain."""
    from hardware.errors import DeviceError
    from twin.files.parallel import WorkerDied

    return isinstance(error, WorkerDied | DeviceError)


def _complain(sentence: str, code: int) -> int:
    typer.echo(f"edtwin: {' '.join(sentence.split())}", err=True)
    return code


def _warn(sentence: str) -> None:
    typer.echo(f"edtwin: warning: {sentence}", err=True)


def _terminated(signum: int, frame: object) -> NoReturn:
    sys.exit(128 + signum)


def _run_scenario(
    scenario: str, *, out: Path | None, sets: Sequence[str], resume: bool, overwrite: bool, workers: int, **parts: Any
) -> RunResult:
    from scenarios.load import load_scenario
    from scenarios.progress import Bars
    from scenarios.run import refuse_planned, run_scenario

    loaded = load_scenario(scenario, overrides=sets)
    refuse_planned(loaded)
    path = out if out is not None else Path("runs") / loaded.name
    with Bars(_console()).shown() as progress:
        return run_scenario(
            loaded, path=path, progress=progress, workers=workers, resume=resume, overwrite=overwrite, **parts
        )


def _part(
    target: str, stages: tuple[str, ...], *, out: Path | None, sets: Sequence[str], overwrite: bool, workers: int
) -> None:
    """One stage of a run folder, or a scenario up to and with this stage."""
    from scenarios.progress import Bars
    from scenarios.run import ORDER, run_in_folder

    if Path(target).is_dir():
        if out is not None:
            raise InputError("-o is for scenarios; a run folder is worked on where it is")
        with Bars(_console()).shown() as progress:
            result = run_in_folder(Path(target), progress=progress, workers=workers, stages=stages, overrides=sets)
    else:
        upto = ORDER[: ORDER.index(stages[-1]) + 1]
        result = _run_scenario(
            target, out=out, sets=sets, resume=True, overwrite=overwrite, workers=workers, stages=upto, summarise=False
        )
    typer.echo(str(result.folder.path))
    _end(result)


def _end(result: RunResult) -> None:
    if result.failed:
        sentences = "; ".join(f"{ended.stage} gave up: {ended.failed}" for ended in result.failed)
        raise typer.Exit(_complain(sentences, STAGE_FAILED))


def _print_summary(path: Path, summary: Mapping[str, Any] | None) -> None:
    from scenarios.load import load_scenario
    from scenarios.stages.report import study_mapping
    from validation.study import study_table

    if summary is None:
        return
    scenario = load_scenario(path / "scenario.toml").scenario
    _console().print(study_table(summary=summary, study=study_mapping(scenario), title=scenario.title))
    typer.echo(f"{path / 'summary.json'}\n{path / 'report.html'}")


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=False)
