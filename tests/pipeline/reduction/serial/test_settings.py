"""Frames that the lattice leaves in two settings are sorted by their intensities; orientations are refined by them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipeline.reduction.geometry import Geometry, predicted_px
from pipeline.reduction.observations import Observations
from pipeline.reduction.refine_geometry import Positions
from pipeline.reduction.rocking import Rocking
from pipeline.reduction.serial.assemble import peak_of
from pipeline.reduction.serial.known import KnownLattice, known_lattice
from pipeline.reduction.serial.outliers import fitting
from pipeline.reduction.serial.refine import refine_stills
from pipeline.reduction.serial.settings import choose_settings
from pipeline.reduction.shares import Passage, passage
from tests.pipeline.reduction.serial.synthetic_stills import (  # type: ignore[import-not-found]
    MICROSCOPE,
    SWEEP,
    structure_intensities,
)
from twin.model.crystal import Cell

FRAMES = 30
CELL = Cell(a_angstrom=10.127, b_angstrom=10.127, c_angstrom=10.127)
CUBIC = known_lattice(cell=CELL, laue="m-3", centring="I")
ROCKING = Rocking(shape="sphere", width_per_angstrom=0.01)


@dataclass(frozen=True, kw_only=True, eq=False)
class Made:
    """Observations of stills whose geometry is known exactly."""

    o: Observations
    geometry: Geometry
    where: Passage


def made(hall: str, *, seed: int, g_max: float = 1.2, counts: float = 1e3) -> Made:
    """Intensities of a structure of the class ``hall``, 10 % of error and counting noise, scales by a factor of two."""
    rng = np.random.default_rng(seed)
    geometry = Geometry(
        ub=CUBIC.reciprocal,
        centre_px=np.full((FRAMES, 2), 255.5),
        turn=Rotation.random(FRAMES, random_state=rng).as_matrix(),
        alpha_deg=np.zeros(FRAMES),
        microscope=MICROSCOPE,
    )
    hkl_all = CUBIC.points(g_max)
    f2 = structure_intensities(hkl_all, hall=hall, seed=2)
    frame, rows = [], []
    for f in range(FRAMES):
        lab = hkl_all @ CUBIC.reciprocal.T @ geometry.turn[f].T
        s = -lab[:, 2] - np.sum(lab**2, axis=1) / (2 * SWEEP.wavenumber)
        near = np.flatnonzero(np.abs(s) < 0.02)
        rows.append(near)
        frame.append(np.full(len(near), f))
    row, frames = np.concatenate(rows), np.concatenate(frame)
    hkl, nothing = hkl_all[row], np.zeros(len(row))
    o = Observations(hkl=hkl, frame=frames, intensity=nothing, sigma=nothing + 1.0, fast_px=nothing, slow_px=nothing)
    where = passage(o, geometry, SWEEP)
    scale = counts * 2 ** rng.uniform(-0.5, 0.5, FRAMES)
    expected = scale[frames] * f2[row] * where.share(ROCKING)[0] / peak_of(ROCKING, where.g_length)
    sigma = np.sqrt(expected + 25.0)
    measured = expected * rng.normal(1.0, 0.1, len(row)) + rng.normal(size=len(row)) * sigma
    return Made(o=replace(o, intensity=measured, sigma=sigma), geometry=geometry, where=where)


def scrambled(m: Made, known: KnownLattice, seed: int) -> tuple[Made, NDArray[np.int64]]:
    """The same frames, each named in a setting drawn at random."""
    setting = np.random.default_rng(seed).integers(0, len(known.settings), FRAMES)
    hkl = np.einsum("nij,nj->ni", known.settings[setting[m.o.frame]], m.o.hkl)
    return replace(m, o=replace(m.o, hkl=hkl)), setting


def chosen_for(m: Made, known: KnownLattice) -> tuple[NDArray[np.int64], NDArray[np.float64], str]:
    height = m.where.share(ROCKING)[0] / peak_of(ROCKING, m.where.g_length)
    found = choose_settings(o=m.o, height=height, g_length=m.where.g_length, known=known, frames=FRAMES)
    return found.setting, found.correlation, found.sentence()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_intensities_sort_the_two_settings_of_m3(seed: int) -> None:
    mixed, drawn = scrambled(made(CUBIC.hall, seed=seed), CUBIC, seed)
    setting, correlation, sentence = chosen_for(mixed, CUBIC)
    decided = np.abs(correlation[:, 0] - correlation[:, 1]) > 0.05  # along [110] both settings show the same
    assert np.mean(decided) > 0.9
    assert np.ptp(((setting + drawn) % 2)[decided]) == 0  # right but for one choice common to all
    assert correlation.max(axis=1).min() > 0.8
    assert "2 orientations have the same spots" in sentence


@pytest.mark.parametrize("counts", [100.0, 30.0])
def test_weak_stills_are_sorted_by_the_reflections_that_stand_out(counts: float) -> None:
    mixed, drawn = scrambled(made(CUBIC.hall, seed=9, counts=counts), CUBIC, 9)
    setting, correlation, _ = chosen_for(mixed, CUBIC)
    decided = np.abs(correlation[:, 0] - correlation[:, 1]) > 0.05
    right = ((setting + drawn) % 2)[decided]
    assert np.mean(decided) > 0.8
    assert max(np.mean(right), 1 - np.mean(right)) > 0.95


def test_a_structure_with_the_symmetry_of_the_lattice_has_nothing_to_sort() -> None:
    higher, lower = (chosen_for(made(hall, seed=4), CUBIC)[1] for hall in ("-P 4 2 3", CUBIC.hall))
    margins = [float(np.median(np.abs(c[:, 0] - c[:, 1]))) for c in (higher, lower)]
    assert margins[0] < 0.1 * margins[1]


def test_tetragonal_frames_of_a_pseudocubic_lattice_are_sorted_among_three_settings() -> None:
    known = known_lattice(cell=CELL, laue="4/mmm", centring="I")
    mixed, drawn = scrambled(made(known.hall, seed=5), known, 5)
    setting, _, _ = chosen_for(mixed, known)
    total = np.einsum("fij,fjk->fik", known.settings[drawn], known.settings[setting])
    laue = {r.tobytes() for r in known.lattice_turns}
    assert all(t.tobytes() in laue for t in total)
    first = np.linalg.inv(total[0])
    own = {np.rint(first @ t).astype(int).tobytes() for t in total}
    assert len(own) <= 8  # all within one coset of the eight rotations of 422


def test_intensities_pull_the_tilts_to_hundredths_of_a_degree_and_positions_the_camera_length() -> None:
    m = made(CUBIC.hall, seed=6)
    rng = np.random.default_rng(7)
    xy, _ = predicted_px(geometry=m.geometry, hkl=m.o.hkl, frame=m.o.frame)
    clear = np.flatnonzero(m.o.intensity > 10.0 * m.o.sigma)
    spots = Positions(
        hkl=m.o.hkl[clear],
        frame=m.o.frame[clear],
        observed_px=xy[clear] + rng.normal(scale=0.2, size=(len(clear), 2)),
        sigma_px=np.full(len(clear), 0.2),
    )
    off = Rotation.from_rotvec(np.radians(rng.normal(scale=0.1, size=(FRAMES, 3)))).as_matrix()
    p = m.geometry.microscope.projection
    microscope = replace(MICROSCOPE, projection=replace(p, camera_length_mm=1.003 * p.camera_length_mm))
    start = replace(m.geometry, turn=off @ m.geometry.turn, microscope=microscope)
    fit = refine_stills(geometry=start, spots=spots, observations=m.o, sweep=SWEEP, hall=CUBIC.hall, rocking=ROCKING)
    left = Rotation.from_matrix(fit.geometry.turn @ np.swapaxes(m.geometry.turn, 1, 2)).magnitude()
    assert np.degrees(np.median(left)) < 0.03
    assert np.degrees(left.max()) < 0.15
    assert fit.geometry.microscope.projection.camera_length_mm == pytest.approx(p.camera_length_mm, rel=2e-4)
    np.testing.assert_array_equal(fit.geometry.ub, CUBIC.reciprocal)  # the cell is known and stays
    assert fit.rocking.fwhm_per_angstrom == pytest.approx(ROCKING.fwhm_per_angstrom, rel=0.1)
    assert 0.2 < np.median(np.degrees(left)) / np.median(np.linalg.norm(fit.turn_su_deg, axis=1)) < 3.0
    assert np.mean(fitting(m.o, fit)) > 0.9


def test_a_still_in_a_wrong_orientation_is_left_out() -> None:
    m = made(CUBIC.hall, seed=8)
    turn = m.geometry.turn.copy()
    turn[4] = Rotation.from_rotvec(np.radians(60.0) * np.ones(3) / np.sqrt(3)).as_matrix() @ turn[4]
    clear = np.flatnonzero((m.o.intensity > 10.0 * m.o.sigma) & (m.o.frame != 4))
    xy, _ = predicted_px(geometry=m.geometry, hkl=m.o.hkl[clear], frame=m.o.frame[clear])
    spots = Positions(
        hkl=m.o.hkl[clear], frame=m.o.frame[clear], observed_px=xy, sigma_px=np.full(len(clear), 0.2)
    )
    wrong = replace(m.geometry, turn=turn)
    fit = refine_stills(geometry=wrong, spots=spots, observations=m.o, sweep=SWEEP, hall=CUBIC.hall, rocking=ROCKING)
    keep = fitting(m.o, fit)
    assert not keep[4]
    assert np.mean(keep) > 0.9
