"""Spots of a tilt series indexed with a cell that is known beforehand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.again import look_again
from pipeline.reduction.axis import AxisSearch
from pipeline.reduction.errors import ReductionError
from pipeline.reduction.first_lattice import WIDTH, decide_sense, plain_geometry
from pipeline.reduction.geometry import Geometry
from pipeline.reduction.indexing import index_in_space, points_at_zero_tilt
from pipeline.reduction.known_cell import KnownCellFound, find_known_cell
from pipeline.reduction.lattice import Indexed, refine_indexed, refine_primitive
from pipeline.reduction.lattice_symmetry import LatticeSymmetry
from pipeline.reduction.serial.known import LAUE_HALL, find_centring, lattice_turns, proper_turns
from pipeline.reduction.series import px_per_inverse_angstrom, sweep_of
from pipeline.reduction.spots import Survey
from twin.files.errors import InputError
from twin.model.crystal import Cell
from twin.model.dataset import Dataset
from twin.physics.lattice import reciprocal_matrix

Floats = NDArray[np.float64]

_HOLOHEDRIES = (
    ("cubic", "m-3m"),
    ("hexagonal", "6/mmm"),
    ("tetragonal", "4/mmm"),
    ("rhombohedral", "-3m1"),
    ("orthorhombic", "mmm"),
    ("monoclinic", "2/m"),
    ("triclinic", "-1"),
)
LEAST_SPOTS = 20
STANDS_OUT = 1.15  # share of the spots on the best orientation over that on another
LEAST_SHARE = 0.25  # of the spots on the cell: twice what chance gives


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenCell:
    """A cell in its conventional axes (monoclinic: b unique), and its centring where that is known too. Its shape is
    believed, its scale is refined: what a camera length does to it."""

    cell: Cell
    centring: str | None = None


def symmetry_of(given: GivenCell) -> LatticeSymmetry:
    """The highest symmetry that the cell has in its own axes (1 % in lengths)."""
    turns = {t.tobytes() for t in lattice_turns(given.cell)}
    for system, laue in _HOLOHEDRIES:
        if system == "rhombohedral" and given.centring != "R":
            continue
        own = proper_turns(LAUE_HALL[laue])
        if all(t.tobytes() in turns for t in own):
            if system == "hexagonal" and given.centring == "R":
                continue
            if system == "triclinic" and len(turns) > 1:
                raise InputError(f"{_text(given.cell)} is not in conventional axes (a monoclinic cell has b unique)")
            return LatticeSymmetry(
                system=system, hall=LAUE_HALL[laue], centring=given.centring or "P",
                transform=np.eye(3, dtype=np.int64), strain=0.0, order=len(own),
            )  # fmt: skip
    raise AssertionError("every lattice is triclinic at least")


def _text(cell: Cell) -> str:
    return "the cell " + " ".join(f"{v:g}" for v in cell.parameters)


def _oriented(
    dataset: Dataset, seen: Survey, axis: AxisSearch, weight: Floats, limit: float, direct: Floats
) -> tuple[Geometry, KnownCellFound]:
    """The better of the orientations that the azimuth found and the nominal one lead to."""
    found = []
    for azimuth in {axis.tilt_axis_deg, dataset.microscope.projection.tilt_axis_deg % 360.0}:
        geometry = plain_geometry(dataset, seen, azimuth)
        points = points_at_zero_tilt(peaks=seen.peaks, geometry=geometry)
        found.append((geometry, find_known_cell(points=points, weight=weight, direct=direct, g_limit=limit)))
    geometry, best = max(found, key=lambda f: f[1].indexed_fraction)
    return replace(geometry, ub=np.asarray(np.linalg.inv(best.direct), dtype=np.float64)), best


def index_with_known_cell(
    dataset: Dataset, seen: Survey, axis: AxisSearch, weight: Floats, limit: float, given: GivenCell
) -> tuple[Indexed, Floats, list[str], float]:
    """Indexed spots, how far each frame's pattern has jumped (frames, 2) in px, sentences, and |g| of the spots."""
    peaks, px, symmetry = seen.peaks, px_per_inverse_angstrom(dataset), symmetry_of(given)
    direct = np.asarray(np.linalg.inv(reciprocal_matrix(given.cell)))
    geometry, oriented = _oriented(dataset, seen, axis, weight, limit, direct)
    log = [oriented.sentence()]
    if oriented.indexed_fraction < max(STANDS_OUT * oriented.next_fraction, LEAST_SHARE):
        raise ReductionError(
            f"known cell: no orientation of {_text(given.cell)} stands out: {100 * oriented.indexed_fraction:.0f} % of "
            f"the spots lie on the best, {100 * oriented.next_fraction:.0f} % on another"
        )
    g_peaks = float(np.quantile(np.linalg.norm(points_at_zero_tilt(peaks=peaks, geometry=geometry), axis=1), 0.995))
    geometry, sentence, sigmas = decide_sense(dataset, peaks, geometry)
    log.append(sentence)
    if given.centring is None:
        hkl, good = index_in_space(points=points_at_zero_tilt(peaks=peaks, geometry=geometry), ub=geometry.ub)
        centring, _ = find_centring(hkl[good], most_violations=0.25)
        symmetry = replace(symmetry, centring=centring)
    sweep = sweep_of(dataset, geometry.microscope.projection.tilt_axis_deg)
    geometry, hkl, good, fit = refine_primitive(
        peaks=peaks,
        geometry=geometry,
        sweep=sweep,
        px_per_angstrom=px,
        g_max_per_angstrom=g_peaks,
        width_per_angstrom=WIDTH,
        symmetry=symmetry,
        fixed_shape=True,
    )
    if np.mean(good) < LEAST_SHARE or np.count_nonzero(good) < LEAST_SPOTS:
        raise ReductionError(
            f"known cell: {np.count_nonzero(good)} of {len(good)} spots lie on {_text(given.cell)} in its best "
            f"orientation; at least {LEAST_SPOTS} and {100 * LEAST_SHARE:.0f} % are needed"
        )
    found = Indexed(
        geometry=geometry, hkl=hkl, good=good, rms_px=fit.rms_px, symmetry=symmetry, tried=(), fixed_shape=True
    )
    found = refine_indexed(
        peaks=peaks, found=found, sweep=sweep, px_per_angstrom=px, g_max_per_angstrom=g_peaks, width_per_angstrom=WIDTH
    )
    found, jumped, more = look_again(
        peaks=peaks, found=found, sweep=sweep, px_per_angstrom=px, g_max_per_angstrom=g_peaks, width_per_angstrom=WIDTH
    )
    log.append(f"known cell: {symmetry.system} {symmetry.centring}, residual {found.rms_px:.3f} px")
    return replace(found, sense_sigmas=sigmas), jumped, log + more, g_peaks
