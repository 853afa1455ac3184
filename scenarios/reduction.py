"""A series of frames reduced, and what that leaves in a folder: of a run and of measured frames alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.persist import save_json, save_npz
from twin.files.atomic import write_text
from twin.files.errors import InputError
from twin.model.crystal import Cell

if TYPE_CHECKING:
    from pipeline.reduction.reciprocal_map import ReciprocalMap
    from pipeline.reduction.reduce import ReducedSeries
    from pipeline.reduction.serial.assemble import SerialReduction
    from twin.model.dataset import Dataset

PEAKS, ORIENTATION, REFLECTIONS, MERGED = "peaks.npz", "orientation.json", "reflections.npz", "merged.npz"
STILLS = "stills.json"  # of serial series only
KIN_PETS, DYN_PETS = "reflections_kin.cif_pets", "reflections_dyn.cif_pets"
SHELX, MTZ = "kinematical.hkl", "merged.mtz"
LOG, PAGE = "reduce.log", "reduction.html"
SPACE = "reciprocal.ccp4"  # of measured frames, when it is asked for


def reduce_dataset(
    dataset: Dataset,
    *,
    cell: Cell | None,
    laue: str | None,
    centring: str | None,
    g_max_per_angstrom: float | None,
    progress: Callable[[str, float], None] | None = None,
) -> ReducedSeries | SerialReduction:
    """Stills of many particles need ``cell`` and ``laue``; of a tilt series a ``cell`` that is given is oriented, and
    one is looked for when none is."""
    from pipeline.reduction.known_series import GivenCell
    from pipeline.reduction.reduce import reduce_series
    from pipeline.reduction.serial.known import known_lattice
    from pipeline.reduction.serial.reduce import reduce_serial

    if dataset.mode != "serial":
        known = None if cell is None else GivenCell(cell=cell, centring=centring)
        return reduce_series(dataset=dataset, g_max_per_angstrom=g_max_per_angstrom, known=known, progress=progress)
    if cell is None or laue is None:
        raise InputError(
            "a serial series needs a cell and a Laue class (reduction.cell_angstrom_deg and reduction.laue, or --cell "
            "and --laue): stills of many particles say nothing of a lattice"
        )
    return reduce_serial(
        dataset=dataset,
        known=known_lattice(cell=cell, laue=laue, centring=centring or "P"),
        given_centring=centring is not None,
        g_max_per_angstrom=g_max_per_angstrom,
        progress=progress,
    )


def write_reduction(
    folder: Path,
    reduced: ReducedSeries | SerialReduction,
    *,
    mode: str,
    name: str,
    space: ReciprocalMap | None = None,
) -> tuple[str, ...]:
    """Results as the next stages read them, in the dialects of PETS (Jana2020), SHELX and CCP4, a log and a page;
    returns the names of the files. ``mode``: how the series was taken; ``name``: what the page calls it; ``space``: the
    map of all pixels."""
    from pipeline.io.mtz import write_mtz
    from pipeline.io.shelx import shelx_text
    from pipeline.reduction.serial.assemble import SerialReduction
    from validation.report.reduction import write_reduction_page

    lattice, merged = reduced.orientation, reduced.merged
    save_npz(folder / PEAKS, reduced.peaks)
    save_json(folder / ORIENTATION, lattice)
    save_npz(folder / REFLECTIONS, reduced.reflections)
    save_npz(folder / MERGED, merged)
    _write_pets(folder, reduced, mode=mode)
    write_text(folder / SHELX, shelx_text(hkl=merged.hkl, intensity=merged.intensity, sigma=merged.sigma))
    write_mtz(folder / MTZ, orientation=lattice, merged=merged)
    write_text(folder / LOG, "\n".join(reduced.log) + "\n")
    written = (PEAKS, ORIENTATION, REFLECTIONS, MERGED, KIN_PETS, DYN_PETS, SHELX, MTZ, LOG)
    if isinstance(reduced, SerialReduction):
        save_json(folder / STILLS, reduced.quality)
        return (*written, STILLS)
    write_reduction_page(folder / PAGE, reduced, name=name, space=space)
    if space is None:
        return (*written, PAGE)
    _write_space(folder / SPACE, space)
    return (*written, PAGE, SPACE)


def _write_space(path: Path, space: ReciprocalMap) -> None:
    """The map for viewers of densities; 0 where nothing was measured."""
    import numpy as np

    from twin.files.atomic import write_bytes
    from twin.files.ccp4 import ccp4_bytes
    from twin.model.crystal import Crystal

    box = Crystal(name="reciprocal space", cell=space.cell, hall="P 1", sites=())
    write_bytes(path, ccp4_bytes(box, np.nan_to_num(space.values, nan=0.0).astype(np.float64)))


def _write_pets(folder: Path, reduced: ReducedSeries | SerialReduction, *, mode: str) -> None:
    """The dynamical file of a continuous rotation has virtual frames: single slices cut rocking curves to pieces."""
    from pipeline.io.cif_pets import dynamical_cif_pets, kinematical_cif_pets
    from pipeline.reduction.virtual_frames import usual_windows, virtual_frames

    lattice, reflections = reduced.orientation, reduced.reflections
    frames, spots, details = lattice, reflections, ""
    if mode == "continuous":
        windows = usual_windows(reflections.precession_deg)
        frames, spots = virtual_frames(orientation=lattice, reflections=reflections, windows=windows)
        details = windows.sentence()
    dynamical = dynamical_cif_pets(orientation=frames, reflections=spots, mode=mode, details=details)
    write_text(folder / DYN_PETS, dynamical)
    averaged = kinematical_cif_pets(orientation=lattice, merged=reduced.merged, reflections=reflections, mode=mode)
    write_text(folder / KIN_PETS, averaged)
