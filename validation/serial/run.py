"""All rows of ``edtwin validate serial``: the row ITO-03 beside the study, weaker exposures, particles that move.

Each is a run of the scenario ``ito-03`` with a few keys changed, in a process of its own, as a user would start it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from validation.rows import Row, at_least, at_most, write_rows
from validation.serial.loosened import FRAMES as LOOSENED_FRAMES
from validation.serial.loosened import TURNS_DEG, loosened_runs
from validation.serial.page import write_page
from validation.serial.runs import Finished, kept_run

EXPOSURES_S, EXPOSURE_FRAMES = (0.5, 0.05, 0.01, 0.005), 60
MOTIONS_DEG, MOTION_FRAMES = (0.0, 1.0, 2.0), 40
KINEMATICAL_ONLY = ("refinement.frame_based=false", "refinement.dynamical=false")
REDUCED_ONLY = ("solution.enabled=false",)
ON_FRAMES = ("refinement.frame_based=true", "refinement.dynamical=true")


def run_serial(*, out: Path, quick: bool, page: Path | None = None) -> list[Row]:
    """Write ``out``/serial.json (and the page); returns the rows. ``quick``: without the 812 stills of the study."""
    folder = out / "serial"
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    if not quick:
        full = kept_run("full", scenario="ito-03", sets=KINEMATICAL_ONLY, folder=folder, limit=True)
        other = kept_run("precession", scenario="ito-01", sets=KINEMATICAL_ONLY, folder=folder, limit=True)
        rows += study_rows(full) + precession_rows(full, other)
        rows += limit_rows(full, "study", "812 stills", peer=2.25) + limit_rows(other, "precession", "ito-01", peer=2.0)
    step = 2 if quick else 1
    for exposure_s in EXPOSURES_S[::step]:
        weak = (f"acquisition.frames={EXPOSURE_FRAMES}", f"acquisition.exposure_s={exposure_s}", *REDUCED_ONLY)
        found = kept_run(f"exposure-{exposure_s:g}", scenario="ito-03", sets=weak, folder=folder)
        rows += exposure_rows(found, exposure_s)
    for motion_deg in MOTIONS_DEG[::step]:
        moving = (f"acquisition.frames={MOTION_FRAMES}", f"actual.motion_deg={motion_deg}", *ON_FRAMES)
        found = kept_run(f"motion-{motion_deg:g}", scenario="ito-03", sets=moving, folder=folder)
        rows += on_frames_rows(found, f"motion-{motion_deg:g}", f"turning by {motion_deg:g}°", MOTION_FRAMES)
    for turn_deg, found in loosened_runs(folder, turns_deg=TURNS_DEG[::step]).items():
        what = f"turned by {turn_deg:g}°"
        rows += on_frames_rows(found, f"loosened-{turn_deg:g}", what, LOOSENED_FRAMES)
    write_rows(out / "serial.json", rows)
    if page is not None:
        write_page(page, rows)
    return rows


def _row(
    found: Finished,
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
    entry = found.get(*keys)
    value = float(entry) if isinstance(entry, int | float) else None
    goal, met = "", None
    for limit, judge in ((least, at_least), (most, at_most)):
        if limit is not None:
            text, ok = judge(value if value is not None else float("nan"), limit)
            goal, met = f"{goal}, {text}" if goal else text, ok and met is not False
    return Row(
        id=id,
        quantity=quantity,
        value=value,
        unit=unit,
        peer="study" if peer is not None else "",
        peer_value=peer,
        goal=goal,
        met=met,
        n=n,
        note=note,
    )


def study_rows(full: Finished) -> list[Row]:
    """Table 2, row ITO-03; goals are the bands of the claims C32 and C35."""
    n = int(full.get("frames", "count") or 0)
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


def precession_rows(full: Finished, other: Finished) -> list[Row]:
    """C33: as accurate as the kinematical refinement of a precession series, within a factor of two."""
    keys = ("kinematical", "averaged", "mean_distance_angstrom")
    one, two = full.get(*keys), other.get(*keys)
    ratio = one / two if isinstance(one, float) and isinstance(two, float) and two > 0 else None
    met = ratio is not None and 0.5 <= ratio <= 2.0
    note = "one seed each" if ratio is None else f"one seed each; ito-01 {two:.4f} Å"
    return [
        Row(id="precession-ratio", quantity="mean deviation, serial over precession, kinematical", value=ratio, unit="",
            goal="0.5 to 2", met=met, note=note)
    ]  # fmt: skip


def limit_rows(found: Finished, name: str, what: str, *, peer: float) -> list[Row]:
    """C31: the study saw reflections to 2.25 (serial) and beyond 2 Å⁻¹; the twin's detector ends at 2."""
    return [
        _row(found, ("information_limit_per_angstrom",), id=f"{name}-limit", unit="Å⁻¹", peer=peer, least=1.8,
             quantity=f"{what}: edge of the last shell with mean I/σ > 2", note="the frames end at 2.0")
    ]  # fmt: skip


def exposure_rows(found: Finished, exposure_s: float) -> list[Row]:
    """C35: how weak stills may be."""
    what, name = f"{exposure_s:g} s a still", f"exposure-{exposure_s:g}"
    least = None if found.complaint else 80.0
    return [
        _row(found, ("orientation", "indexed_frames_percent"), id=f"{name}-indexed",
             quantity=f"{what}: stills with an orientation", unit="%", n=EXPOSURE_FRAMES, note=found.complaint),
        _row(found, ("orientation", "right_frames_percent"), id=f"{name}-right", quantity=f"{what}: of these right",
             unit="%", least=least, n=EXPOSURE_FRAMES),
        _row(found, ("orientation", "median_error_deg"), id=f"{name}-median", quantity=f"{what}: median error",
             unit="°", n=EXPOSURE_FRAMES),
        _row(found, ("data", "r_int_percent"), id=f"{name}-r-int", quantity=f"{what}: R_int", unit="%",
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
        _row(found, keys, id=f"{name}-{'-'.join(keys)}", quantity=f"{what}: {text}", unit=unit, n=n,
             note=found.complaint if keys[0] == "dynamical" else "")
        for keys, text, unit in FIGURES
    ]  # fmt: skip
