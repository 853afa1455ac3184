"""``edtwin reduce --frames``: measured frames to reflections, no twin involved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pipeline.io.series.nominal import Nominal
from scenarios.measured.options import parse_cell
from scenarios.reduction import reduce_dataset, write_reduction
from twin.files.errors import InputError
from twin.model.plan import Mode
from twin.physics.electrons import wavelength_angstrom

if TYPE_CHECKING:
    from pipeline.reduction.reciprocal_map import ReciprocalMap
    from pipeline.reduction.reduce import ReducedSeries
    from pipeline.reduction.serial.assemble import SerialReduction
    from twin.model.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Options of the command line, None where not given."""

    energy_kev: float | None = None
    angstrom_per_pixel: float | None = None
    g_max_per_angstrom: float | None = None
    cell: str | None = None
    laue: str | None = None
    centring: str | None = None
    space: bool = False  # whether the map of reciprocal space is wanted


def checked_mode(text: str | None) -> Mode | None:
    """The mode of the series from its name; None when it was not given."""
    known: tuple[Mode, ...] = get_args(Mode)
    if text is not None and text not in known:
        raise InputError(f"--mode is '{text}'; allowed are {', '.join(known)}")
    return next((mode for mode in known if mode == text), None)


def checked_centring(text: str | None) -> str | None:
    """The centring of a known cell; None when it was not given."""
    if text is not None and text not in tuple("PABCIFR"):
        raise InputError(f"--centring is '{text}'; allowed are P, A, B, C, I, F and R")
    return text


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


def reduce_frames(
    path: Path, *, nominal: Nominal, given: Given, out: Path, show: Callable[[str], None], warn: Callable[[str], None]
) -> str:
    """Read, reduce, write: what a run folder has of a reduction.

    Returns the sentence with which the reduction gave up; empty when it did not.
    """
    from pipeline.io.series.read import read_series
    from pipeline.reduction.errors import ReductionError

    dataset = read_series(path, nominal=completed(nominal, given), warn=warn)
    show(f"{len(dataset.counts)} frames, {dataset.mode}, {dataset.microscope.beam.energy_kev:.0f} keV")
    try:
        reduced = reduce_dataset(
            dataset,
            cell=None if given.cell is None else parse_cell(given.cell),
            laue=given.laue,
            centring=given.centring,
            g_max_per_angstrom=given.g_max_per_angstrom,
        )
    except ReductionError as error:
        return f"{path}: {error}"
    gap = _chip_gap(dataset, reduced)
    if gap:
        warn(gap)
    out.mkdir(parents=True, exist_ok=True)
    space = _space(dataset, reduced) if given.space else None
    write_reduction(out, reduced, mode=dataset.mode, name=dataset.name, space=space)
    for sentence in reduced.log:
        show(sentence)
    lattice = reduced.orientation
    cell = lattice.cell
    show(
        f"cell: {cell.a_angstrom:.3f} {cell.b_angstrom:.3f} {cell.c_angstrom:.3f} Å, "
        f"{cell.alpha_deg:.2f} {cell.beta_deg:.2f} {cell.gamma_deg:.2f}°, {lattice.centring}"
    )
    show(str(out))
    return ""


def _space(dataset: Dataset, reduced: ReducedSeries | SerialReduction) -> ReciprocalMap:
    """All pixels of all frames in reciprocal space."""
    from pipeline.reduction.reciprocal_map import reciprocal_map
    from pipeline.reduction.reduce import ReducedSeries

    if not isinstance(reduced, ReducedSeries):
        raise InputError("--map is for tilt series: stills of many particles have no reciprocal space in common")
    limit = reduced.merged.g_max_per_angstrom
    return reciprocal_map(dataset=dataset, geometry=reduced.fit.geometry, g_max_per_angstrom=limit)


def _chip_gap(dataset: Dataset, reduced: ReducedSeries | SerialReduction) -> str:
    """A sentence when the spots say that pixels are missing between the halves of the detector."""
    from pipeline.reduction.chip_gap import measured_gap
    from pipeline.reduction.reduce import ReducedSeries
    from pipeline.reduction.series import sweep_of

    _, slow, fast = dataset.counts.shape
    if slow % 2 or fast % 2 or not isinstance(reduced, ReducedSeries):
        return ""
    gap = measured_gap(
        peaks=reduced.peaks,
        hkl=reduced.peak_hkl,
        geometry=reduced.fit.geometry,
        hall=reduced.merged.hall,
        sweep=sweep_of(dataset, reduced.fit.geometry.microscope.projection.tilt_axis_deg),
        size_px=(fast, slow),
    )
    return "" if gap is None else gap.sentence()
