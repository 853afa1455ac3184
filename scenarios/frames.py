"""``edtwin reduce --frames``: measured frames to reflections, no twin involved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pipeline.io.series.nominal import Nominal
from scenarios.measured.options import parse_cell
from scenarios.persist import save_json, save_npz
from twin.files.atomic import write_text
from twin.files.errors import InputError
from twin.model.plan import Mode
from twin.physics.electrons import wavelength_angstrom

if TYPE_CHECKING:
    from pipeline.reduction.serial.assemble import SerialReduction
    from pipeline.reduction.serial.known import KnownLattice


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Options of the command line, None where not given."""

    energy_kev: float | None = None
    angstrom_per_pixel: float | None = None
    g_max_per_angstrom: float | None = None
    cell: str | None = None
    laue: str | None = None


def checked_mode(text: str | None) -> Mode | None:
    """The mode of the series from its name; None when it was not given."""
    known: tuple[Mode, ...] = get_args(Mode)
    if text is not None and text not in known:
        raise InputError(f"--mode is '{text}'; allowed are {', '.join(known)}")
    return next((mode for mode in known if mode == text), None)


def completed(nominal: Nominal, given: Given) -> Nominal:
    """Energy and scale as other programs state them, turned into wavelength and camera length."""
    values = asdict(nominal)
    if given.energy_kev is not None:
        if not 5.0 <= given.energy_kev <= 3000.0:
            raise InputError(f"--energy-kev is {given.energy_kev:g}; allowed are 5 to 3000")
        values["wavelength_angstrom"] = wavelength_angstrom(energy_kev=given.energy_kev)
    if given.angstrom_per_pixel is not None:
        wavelength = values["wavelength_angstrom"]
        if wavelength is None or not given.angstrom_per_pixel > 0:
            raise InputError("--angstrom-per-pixel (Å⁻¹ a pixel, positive) needs --wavelength-angstrom or --energy-kev")
        values["pixel_size_um"] = values["pixel_size_um"] or 55.0
        values["camera_length_mm"] = values["pixel_size_um"] * 1e-3 / (wavelength * given.angstrom_per_pixel)
    return Nominal(**values)


def known_of(given: Given) -> KnownLattice:
    """Cell and Laue class as the command line has them, for a serial series."""
    from pipeline.reduction.serial.known import known_lattice

    if given.cell is None or given.laue is None:
        raise InputError("a serial series needs --cell and --laue: stills of many particles say nothing of a lattice")
    return known_lattice(cell=parse_cell(given.cell), laue=given.laue)


def reduce_frames(
    path: Path, *, nominal: Nominal, given: Given, out: Path, show: Callable[[str], None], warn: Callable[[str], None]
) -> str:
    """Read, reduce, write: peaks, orientation, reflections, merged, .cif_pets, SHELX .hkl, MTZ, a page and a log.

    Returns the sentence with which the reduction gave up; empty when it did not.
    """
    from pipeline.io.cif_pets import dynamical_cif_pets, kinematical_cif_pets
    from pipeline.io.mtz import write_mtz
    from pipeline.io.series.read import read_series
    from pipeline.io.shelx import shelx_text
    from pipeline.reduction.assemble import ReducedSeries
    from pipeline.reduction.errors import ReductionError
    from pipeline.reduction.reduce import reduce_series
    from pipeline.reduction.serial.reduce import reduce_serial
    from validation.report.reduction import write_reduction_page

    dataset = read_series(path, nominal=completed(nominal, given), warn=warn)
    show(f"{len(dataset.counts)} frames, {dataset.mode}, {dataset.microscope.beam.energy_kev:.0f} keV")
    known = known_of(given) if dataset.mode == "serial" else None
    limit = given.g_max_per_angstrom
    try:
        reduced: ReducedSeries | SerialReduction
        if known is None:
            reduced = reduce_series(dataset=dataset, g_max_per_angstrom=limit)
        else:
            reduced = reduce_serial(dataset=dataset, known=known, g_max_per_angstrom=limit)
    except ReductionError as error:
        return f"{path}: {error}"
    out.mkdir(parents=True, exist_ok=True)
    lattice, merged, mode = reduced.orientation, reduced.merged, dataset.mode
    save_npz(out / "peaks.npz", reduced.peaks)
    save_json(out / "orientation.json", lattice)
    save_npz(out / "reflections.npz", reduced.reflections)
    save_npz(out / "merged.npz", merged)
    write_text(
        out / "reflections_dyn.cif_pets",
        dynamical_cif_pets(orientation=lattice, reflections=reduced.reflections, mode=mode),
    )
    write_text(
        out / "reflections_kin.cif_pets",
        kinematical_cif_pets(orientation=lattice, merged=merged, reflections=reduced.reflections, mode=mode),
    )
    write_text(out / "kinematical.hkl", shelx_text(hkl=merged.hkl, intensity=merged.intensity, sigma=merged.sigma))
    write_mtz(out / "merged.mtz", orientation=lattice, merged=merged)
    write_text(out / "reduce.log", "\n".join(reduced.log) + "\n")
    if isinstance(reduced, ReducedSeries):
        write_reduction_page(out / "reduction.html", reduced, name=dataset.name)
    for sentence in reduced.log:
        show(sentence)
    cell = lattice.cell
    show(
        f"cell: {cell.a_angstrom:.3f} {cell.b_angstrom:.3f} {cell.c_angstrom:.3f} Å, "
        f"{cell.alpha_deg:.2f} {cell.beta_deg:.2f} {cell.gamma_deg:.2f}°, {lattice.centring}"
    )
    show(str(out))
    return ""
