"""All rows of ``edtwin validate serial``: the row ITO-03 beside the study, weaker exposures, particles that move.

Each is a run of the scenario ``ito-03`` with a few keys changed, in a process of its own, as a user would start it. The
whole series are those of the study of many mountings, which keeps their records too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from validation.mountings.jobs import SERIAL, jobs_of
from validation.mountings.record import FOLDER as MOUNTINGS
from validation.mountings.run import run_folder, run_mountings
from validation.rows import Row, at_least, at_most, write_rows
from validation.serial.loosened import FRAMES as LOOSENED_FRAMES
from validation.serial.loosened import TURNS_DEG, loosened_runs
from validation.serial.page import write_page
from validation.serial.runs import Finished, kept_run

SERIES = 2  # whole ones
EXPOSURES_S, EXPOSURE_FRAMES = (0.5, 0.05, 0.01, 0.005), 60
MOTIONS_DEG, MOTION_FRAMES = (0.0, 1.0, 2.0), 40
KINEMATICAL_ONLY = ("refinement.frame_based=false", "refinement.dynamical=false")
REDUCED_ONLY = ("solution.enabled=false",)
ON_FRAMES = ("refinement.frame_based=true", "refinement.dynamical=true")


def run_serial(*, out: Path, quick: bool, page: Path | None = None) -> list[Row]:
    """Write ``out``/serial.json (and the page), anew after each part; returns the rows. ``quick``: without the 812
    stills of the study.

    Runs that are done are kept in ``out``/serial, the whole series among the mountings of ``edtwin validate mountings``
    with the same ``out``; both are not made again.
    """
    folder = out / "serial"
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []

    def done(more: list[Row]) -> None:
        rows.extend(more)
        write_rows(out / "serial.json", rows)
        if page is not None:
            write_page(page, rows)

    if not quick:
        whole = whole_series(out, folder)
        done(study_rows(whole) + limit_rows(whole[:1], "study", "812 stills", peer=2.25))
        other = kept_run("precession", scenario="ito-01", sets=KINEMATICAL_ONLY, folder=folder, limit=True)
        done(precession_rows(whole, other) + limit_rows((other,), "precession", "ito-01", peer=2.0))
    step = 2 if quick else 1
    for exposure_s in EXPOSURES_S[::step]:
        weak = (f"acquisition.frames={EXPOSURE_FRAMES}", f"acquisition.exposure_s={exposure_s}", *REDUCED_ONLY)
        found = kept_run(f"exposure-{exposure_s:g}", scenario="ito-03", sets=weak, folder=folder)
        done(exposure_rows(found, exposure_s))
    for motion_deg in MOTIONS_DEG[::step]:
        moving = (f"acquisition.frames={MOTION_FRAMES}", f"actual.motion_deg={motion_deg}", *ON_FRAMES)
        found = kept_run(f"motion-{motion_deg:g}", scenario="ito-03", sets=moving, folder=folder)
        done(on_frames_rows(found, f"motion-{motion_deg:g}", f"turning by {motion_deg:g}°", MOTION_FRAMES))
    for turn_deg, found in loosened_runs(folder, turns_deg=TURNS_DEG[::step]).items():
        done(on_frames_rows(found, f"loosened-{turn_deg:g}", f"turned by {turn_deg:g}°", LOOSENED_FRAMES))
    return rows


def whole_series(out: Path, folder: Path) -> list[Finished]:
    """The series of 812 stills, solved as mountings of the study, then refined kinematically; the first also reduced
    to the edge of the detector."""
    jobs, mountings = jobs_of((SERIAL,), count=SERIES), out / MOUNTINGS
    run_mountings(jobs, folder=mountings)
    return [
        kept_run(
            f"full-{job.seed}", scenario=job.scenario, sets=(f"seed={job.seed}", *KINEMATICAL_ONLY), folder=folder,
            limit=job is jobs[0], run=run_folder(mountings, job),
        )
        for job in jobs
    ]  # fmt: skip


def _row(
    found: Sequence[Finished],
    keys: Sequence[str],
    *,
    id: str,
    quantity: str,
    unit: str = "",
    peer: float | None = None,
    least: float | None = None,
    most: float | None = None,
    n: int = 1,
    note: str = "",
) -> Row:
    """The mean of a figure over runs, with each value in the note; every one of them must reach the goal."""
    values = [float(v) if isinstance(v := run.get(*keys), int | float) else float("nan") for run in found]
    mean = sum(values) / len(values)
    goal, met = "", None
    for limit, judge in ((least, at_least), (most, at_most)):
        if limit is not None:
            judged = [judge(value, limit) for value in values]
            text, ok = judged[0][0], all(reached for _, reached in judged)
            goal, met = f"{goal}, {text}" if goal else text, ok and met is not False
    each = ", ".join(f"{value:.4g}" for value in values) if len(values) > 1 else ""
    return Row(
        id=id,
        quantity=quantity,
        value=None if mean != mean else mean,
        unit=unit,
        peer="study" if peer is not None else "",
        peer_value=peer,
        goal=goal,
        met=met,
        n=n,
        note="; ".join(text for text in (each, note) if text),
    )


def study_rows(full: Sequence[Finished]) -> list[Row]:
    """Table 2, row ITO-03; goals are the bands of the claims C32 and C35."""
    n = len(full)
    averaged = ("kinematical", "averaged")
    return [
        _row(full, ("data", "completeness_percent"), id="study-completeness", quantity="completeness to 1.6 Å⁻¹",
             unit="%", peer=100.0, least=99.0, n=n),
        _row(full, ("data", "redundancy"), id="study-redundancy", quantity="redundancy", peer=14.8, least=10.0,
             most=22.0, n=n),
        _row(full, ("data", "r_int_percent"), id="study-r-int", quantity="R_int", unit="%", peer=9.3, n=n),
        _row(full, (*averaged, "r_obs_percent"), id="study-r-obs", quantity="R(obs), kinematical, averaged", unit="%",
             peer=7.77, n=n),
        _row(full, (*averaged, "r_all_percent"), id="study-r-all", quantity="R(all), kinematical, averaged", unit="%",
             peer=10.22, n=n),
        _row(full, (*averaged, "max_distance_angstrom"), id="study-max", quantity="largest deviation of an atom",
             unit="Å", peer=0.0351, most=0.07, n=n),
        _row(full, (*averaged, "mean_distance_angstrom"), id="study-mean", quantity="mean deviation of the atoms",
             unit="Å", n=n),
        _row(full, ("orientation", "indexed_frames_percent"), id="study-indexed", quantity="stills with an orientation",
             unit="%", n=n),
        _row(full, ("orientation", "right_frames_percent"), id="study-right",
             quantity="of these within 1° of the truth, modulo the Laue class", unit="%", least=80.0, n=n),
        _row(full, ("orientation", "median_error_deg"), id="study-median", quantity="orientation, median error",
             unit="°", n=n),
        _row(full, ("intensity", "cc_with_truth"), id="study-cc", quantity="CC of intensities with the electrons", n=n),
    ]  # fmt: skip


def precession_rows(full: Sequence[Finished], other: Finished) -> list[Row]:
    """C33: as accurate as the kinematical refinement of a precession series, within a factor of two."""
    keys = ("kinematical", "averaged", "mean_distance_angstrom")
    ours, theirs = [run.get(*keys) for run in full], other.get(*keys)
    ratios = [one / theirs for one in ours if isinstance(one, float)] if isinstance(theirs, float) and theirs else []
    all_there = len(ratios) == len(full)
    each = ", ".join(f"{ratio:.3g}" for ratio in ratios)
    return [
        Row(id="precession-ratio", quantity="mean deviation, serial over precession, kinematical", unit="",
            value=sum(ratios) / len(ratios) if all_there else None, goal="0.5 to 2",
            met=all_there and all(0.5 <= ratio <= 2.0 for ratio in ratios), n=len(full),
            note=f"{each}; one ito-01, {theirs:.4f} Å" if all_there else "")
    ]  # fmt: skip


def limit_rows(found: Sequence[Finished], name: str, what: str, *, peer: float) -> list[Row]:
    """C31: the study saw reflections to 2.25 (serial) and beyond 2 Å⁻¹; the twin's detector ends at 2."""
    return [
        _row(found, ("information_limit_per_angstrom",), id=f"{name}-limit", unit="Å⁻¹", peer=peer, least=1.8,
             quantity=f"{what}: edge of the last shell with mean I/σ > 2", note="the frames end at 2.0")
    ]  # fmt: skip


def exposure_rows(found: Finished, exposure_s: float) -> list[Row]:
    """C35: how weak stills may be."""
    what, name, one = f"{exposure_s:g} s a still", f"exposure-{exposure_s:g}", (found,)
    least = None if found.complaint else 80.0
    return [
        _row(one, ("orientation", "indexed_frames_percent"), id=f"{name}-indexed",
             quantity=f"{what}: stills with an orientation", unit="%", n=EXPOSURE_FRAMES, note=found.complaint),
        _row(one, ("orientation", "right_frames_percent"), id=f"{name}-right", quantity=f"{what}: of these right",
             unit="%", least=least, n=EXPOSURE_FRAMES),
        _row(one, ("orientation", "median_error_deg"), id=f"{name}-median", quantity=f"{what}: median error",
             unit="°", n=EXPOSURE_FRAMES),
        _row(one, ("data", "r_int_percent"), id=f"{name}-r-int", quantity=f"{what}: R_int", unit="%",
             n=EXPOSURE_FRAMES),
    ]  # fmt: skip


FIGURES = (
    (("orientation", "median_error_deg"), "median error of the orientations", "°"),
    (("data", "r_int_percent"), "R_int", "%"),
    (("kinematical", "averaged", "r_obs_percent"), "R(obs) kinematical, averaged", "%"),
    (("kinematical", "frame_based", "r_obs_percent"), "R(obs) kinematical, frame by frame", "%"),
    (("dynamical", "r_obs_percent"), "R(obs) dynamical", "%"),
    (("kinematical", "averaged", "mean_distance_angstrom"), "mean deviation, kinematical averaged", "Å"),
    (("dynamical", "mean_distance_angstrom"), "mean deviation, dynamical", "Å"),
)


def on_frames_rows(found: Finished, name: str, what: str, n: int) -> list[Row]:
    """C34: what a dynamical refinement gains."""
    return [
        _row((found,), keys, id=f"{name}-{'-'.join(keys)}", quantity=f"{what}: {text}", unit=unit, n=n,
             note=found.complaint if keys[0] == "dynamical" else "")
        for keys, text, unit in FIGURES
    ]  # fmt: skip
