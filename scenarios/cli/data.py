"""Commands that work on a run folder or, with their own options, on data measured elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from scenarios.cli.exits import STAGE_FAILED, complain, interruptible, warn
from scenarios.cli.options import Out, Overwrite, Sets, Workers
from scenarios.cli.runs import console, run_stages
from twin.files.errors import InputError

_ANEW = "results are written at the end: the same command begins again"
_CLAIMED = f"{_ANEW}, with --overwrite where some lie already"


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
    mode: Annotated[str | None, typer.Option(help="precession, continuous, stills or serial.")] = None,
    precession_deg: Annotated[float | None, typer.Option(help="Semi-angle.")] = None,
    counter_max: Annotated[int | None, typer.Option(help="Count that means overloaded.")] = None,
    chip_gap_px: Annotated[int | None, typer.Option(help="Pixels missing between the chips of a quad.")] = None,
    g_max_per_angstrom: Annotated[float | None, typer.Option()] = None,
    cell: Annotated[str | None, typer.Option(help="Known cell: a b c in Å and three angles, in quotes.")] = None,
    centring: Annotated[str | None, typer.Option(help="Of a known cell: P, A, B, C, I, F or R.")] = None,
    laue: Annotated[str | None, typer.Option(help="Serial: the Laue class, such as m-3.")] = None,
    space: Annotated[bool, typer.Option("--map", help="Write the map of reciprocal space too.")] = False,
) -> None:
    """Reduce the frames of a run folder, or measured frames (--frames), to reflections."""
    if frames is None:
        if target is None:
            raise InputError("edtwin reduce: a run folder or a scenario is needed, or --frames PATH")
        return run_stages(target, ("reduce",), out=out, sets=sets or (), overwrite=overwrite, workers=workers)
    from pipeline.io.series.nominal import Nominal
    from scenarios.frames import Given, checked_centring, checked_mode, reduce_frames

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
        chip_gap_px=chip_gap_px,
    )
    given = Given(
        energy_kev=energy_kev,
        angstrom_per_pixel=angstrom_per_pixel,
        g_max_per_angstrom=g_max_per_angstrom,
        cell=cell,
        laue=laue,
        centring=checked_centring(centring),
        space=space,
    )
    folder = out if out is not None else Path("runs") / Path(frames).stem
    with interruptible(_ANEW):
        failed = reduce_frames(Path(frames), nominal=nominal, given=given, out=folder, show=typer.echo, warn=warn)
    if failed:
        raise typer.Exit(complain(failed, STAGE_FAILED))
    return None


def solve(
    target: Annotated[str | None, typer.Argument(metavar="[DIR|SCENARIO]", help="Left out with --data.")] = None,
    data: Annotated[Path | None, typer.Option("--data", metavar="X.cif_pets|X.hkl", help="Measured list.")] = None,
    composition: Annotated[str | None, typer.Option(help="With --data: formula unit, such as MgTi2O5.")] = None,
    cell: Annotated[str | None, typer.Option(help="With --data: a b c in Å and three angles, in quotes.")] = None,
    d_min: Annotated[float | None, typer.Option(help="With --data: resolution limit in Å.")] = None,
    starts: Annotated[int | None, typer.Option(min=1, max=1000, help="With --data: random starts at most [8].")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="With --data: of the random starts [1].")] = None,
    out: Out = None,
    sets: Sets = None,
    overwrite: Overwrite = False,
    workers: Workers = 1,
) -> None:
    """Solve the structure from the reflections of a run folder, or from a measured list (--data).

    Charge flipping takes its options with --set, for a run folder or a scenario as solution.KEY=VALUE, with --data as
    KEY=VALUE: delta (threshold in σ), normalise (E, F), missing (bound, float, zero), bound_e, weak_share, cycles,
    polish, repeat (nosuccess, always).
    """
    if data is None:
        if target is None:
            raise InputError("edtwin solve: a run folder or a scenario is needed, or --data FILE with --composition")
        if any(given is not None for given in (composition, cell, d_min, starts, seed)):
            raise InputError(
                "--composition, --cell, --d-min, --starts and --seed go with --data; a scenario says them itself"
                " (--set solution.starts=20)"
            )
        return run_stages(target, ("solve",), out=out, sets=sets or (), overwrite=overwrite, workers=workers)
    if target is not None or composition is None:
        raise InputError("edtwin solve --data FILE needs --composition, and no run folder")
    from scenarios.measured.options import flip_options, parse_cell
    from scenarios.measured.solve import Asked, solve_measured
    from scenarios.progress import Bars

    asked = Asked(
        composition=composition, cell=None if cell is None else parse_cell(cell), d_min_angstrom=d_min,
        starts=8 if starts is None else starts, seed=1 if seed is None else seed, options=flip_options(sets or ()),
    )  # fmt: skip
    folder = out or Path("runs") / f"{data.stem}-solution"
    with interruptible(_CLAIMED), Bars(console()).shown() as progress:
        solution = solve_measured(data=data, asked=asked, folder=folder, overwrite=overwrite, progress=progress)
    typer.echo(solution.verdict)
    for site in solution.crystal.sites if solution.crystal else ():
        typer.echo(f"  {site.label:6s} {' '.join(f'{x:9.5f}' for x in site.fract)}  {site.occupancy:.3f}")
    typer.echo(str(folder / "report.html"))
    if not solution.solved:
        raise typer.Exit(STAGE_FAILED)
    return None


def refine(
    target: Annotated[str | None, typer.Argument(metavar="[DIR|SCENARIO]", help="A run folder or a scenario.")] = None,
    data: Annotated[Path | None, typer.Option("--data", metavar="X.cif_pets", help="Measured frames instead.")] = None,
    model: Annotated[Path | None, typer.Option("--model", metavar="Y.cif|Y.res", help="Model for --data.")] = None,
    kinematical: Annotated[bool, typer.Option("--kinematical", help="With --data: only without dynamics.")] = False,
    dynamical: Annotated[bool, typer.Option("--dynamical", help="With --data: only with dynamics.")] = False,
    hands: Annotated[bool, typer.Option("--hands", help="With --data: refine the other hand too, tell which.")] = False,
    out: Out = None,
    sets: Sets = None,
    overwrite: Overwrite = False,
    workers: Workers = 1,
) -> None:
    """Refine the solution of a run folder, or a model against measured frames, kinematically and dynamically."""
    if data is not None or model is not None:
        _refine_measured(data, model, target, kinematical, dynamical, hands, out, sets or (), overwrite, workers)
        return
    if target is None:
        raise InputError("edtwin refine needs a run folder, a scenario, or --data X.cif_pets with --model Y.cif")
    if kinematical or dynamical or hands:
        raise InputError("--kinematical, --dynamical and --hands go with --data; a scenario says what is refined")
    stages = ("refine_kinematical", "refine_frame_based", "refine_dynamical")
    run_stages(target, stages, out=out, sets=sets or (), overwrite=overwrite, workers=workers)


def _refine_measured(
    data: Path | None,
    model: Path | None,
    target: str | None,
    kinematical: bool,
    dynamical: bool,
    hands: bool,
    out: Path | None,
    sets: Sequence[str],
    overwrite: bool,
    workers: int,
) -> None:
    from scenarios.measured.options import treatments_of
    from scenarios.measured.run import refine_measured

    if data is None or model is None or target is not None:
        raise InputError("--data X.cif_pets and --model Y.cif belong together, without a run folder or scenario")
    with interruptible(_CLAIMED):
        outcome = refine_measured(
            data=data, model=model, folder=out or Path("runs") / data.stem,
            treatments=treatments_of(kinematical=kinematical, dynamical=dynamical),
            sets=sets, hands=hands, workers=workers, overwrite=overwrite, say=typer.echo,
        )  # fmt: skip
    for r in outcome.refinements:
        free = "" if r.held_out_r_obs_percent is None else f", held-out frames {r.held_out_r_obs_percent:.2f} %"
        typer.echo(f"{r.kind}: R(obs) {r.r_obs_percent:.2f} %, R(all) {r.r_all_percent:.2f} %{free}; {r.verdict}")
    for check in outcome.checks:
        typer.echo(check)
    typer.echo(str(outcome.folder / "report.html"))
