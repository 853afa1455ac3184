"""Solution of a structure from a list of intensities measured elsewhere: a folder without a twin."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time

from pipeline.solution.laue import LaueData, solve_in_any_class
from pipeline.solution.lists import in_laue_class, read_intensities
from pipeline.solution.options import DEFAULT, FlipOptions
from pipeline.solution.output import ccp4_map, shelx_res
from pipeline.types import Solution
from scenarios.measured.output import claim
from scenarios.progress import Progress
from twin.files.atomic import write_bytes, write_text
from twin.files.cif import write_crystal
from twin.files.errors import InputError
from twin.model.crystal import Cell

WAVELENGTH_200_KV = 0.02508  # Å; only the .res file of a list without a wavelength shows it
SOLUTION_CIF, SOLUTION_RES, SOLUTION_MAP = "solution.cif", "solution.res", "solution.ccp4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """composition: formula unit. d_min_angstrom: reflections beyond it are left out. starts: random starts at most."""

    composition: str
    cell: Cell | None = None
    d_min_angstrom: float | None = None
    starts: int = 8
    seed: int = 1
    options: FlipOptions = DEFAULT


def solve_measured(*, data: Path, asked: Asked, folder: Path, overwrite: bool, progress: Progress) -> Solution:
    """Solve ``data`` and write solution.cif, .res and .ccp4, summary.json and report.html into ``folder``."""
    _check(asked)
    found = read_intensities(data, cell=asked.cell, wavelength_angstrom=WAVELENGTH_200_KV)
    given, single, said = in_laue_class(found, d_min_angstrom=asked.d_min_angstrom)
    claim(folder, overwrite)
    progress.begin("solve", asked.starts)
    begin = process_time()
    solution, used = solve_in_any_class(
        merged=given.merged, observations=single, cell=given.cell, composition=asked.composition, seed=asked.seed,
        starts=asked.starts, options=asked.options, progress=progress.update,
    )  # fmt: skip
    seconds = process_time() - begin
    _write(folder, solution, wavelength_angstrom=found.wavelength_angstrom)
    notes = (found.note, said, _numbers(used), _asked(asked))
    _write_summary(folder, data=data, asked=asked, solution=solution, used=used, notes=notes, cpu_s=seconds)
    _write_report(folder, data=data, asked=asked, solution=solution, notes=notes)
    return solution


def _check(asked: Asked) -> None:
    from pipeline.solution.composition import parse_formula

    try:
        parse_formula(asked.composition)
    except ValueError as error:
        raise InputError(f"--composition: {error}") from None
    if asked.d_min_angstrom is not None and not 0.2 <= asked.d_min_angstrom <= 3.0:
        raise InputError(f"--d-min is {asked.d_min_angstrom:g}; allowed are 0.2 to 3 Å")


def _asked(asked: Asked) -> str:
    """The options as a sentence."""
    o = asked.options
    missing = {"bound": f"up to |E| {o.bound_e:g}", "float": "freely", "zero": "not at all"}[o.missing]
    return (
        f"Charge flipping on |{o.normalise}|, {o.cycles} cycles below {o.threshold:g} σ, {100 * o.weak_share:g} % of "
        f"the reflections turned, unmeasured ones float {missing}; at most {asked.starts} starts, seed {asked.seed}"
    )


def _numbers(data: LaueData) -> str:
    m, c = data.merged, data.cell
    return (
        f"{len(m.hkl)} unique reflections to {1 / m.g_max_per_angstrom:.2f} Å, completeness "
        f"{m.completeness_percent:.1f} %, R(int) {m.r_int_percent:.1f} %; cell {c.a_angstrom:.3f} {c.b_angstrom:.3f} "
        f"{c.c_angstrom:.3f} Å {c.alpha_deg:.2f} {c.beta_deg:.2f} {c.gamma_deg:.2f}°"
    )


def _write(folder: Path, solution: Solution, *, wavelength_angstrom: float) -> None:
    for name in (SOLUTION_CIF, SOLUTION_RES, SOLUTION_MAP):
        (folder / name).unlink(missing_ok=True)
    if solution.crystal is None:
        return
    write_crystal(solution.crystal, folder / SOLUTION_CIF)
    write_text(folder / SOLUTION_RES, shelx_res(solution.crystal, wavelength_angstrom=wavelength_angstrom))
    if solution.density is not None:
        write_bytes(folder / SOLUTION_MAP, ccp4_map(solution.crystal, solution.density))


def _write_summary(
    folder: Path, *, data: Path, asked: Asked, solution: Solution, used: LaueData, notes: tuple[str, ...], cpu_s: float
) -> None:
    whole = {
        "data": data.name,
        "composition": asked.composition,
        "seed": asked.seed,
        "options": {"starts": asked.starts, **asdict(asked.options), "delta": asked.options.threshold},
        "solved": solution.solved,
        "verdict": solution.verdict,
        "space_group": solution.space_group,
        "laue_hall": used.merged.hall,
        "unique_reflections": len(used.merged.hkl),
        "completeness_percent": round(used.merged.completeness_percent, 2),
        "sites": [
            {"label": s.label, "element": s.element, "fract": [round(x, 5) for x in s.fract], "occupancy": s.occupancy}
            for s in (solution.crystal.sites if solution.crystal else ())
        ],
        "evidence": dict(solution.evidence),
        "notes": list(notes),
        "cpu_s": round(cpu_s, 2),
    }
    write_text(folder / "summary.json", json.dumps(whole, indent=1) + "\n")


def _write_report(folder: Path, *, data: Path, asked: Asked, solution: Solution, notes: tuple[str, ...]) -> None:
    from validation.report.short import solution_page

    title = f"{asked.composition} from {data.name}"
    write_text(folder / "report.html", solution_page(title=title, solution=solution, notes=notes))
