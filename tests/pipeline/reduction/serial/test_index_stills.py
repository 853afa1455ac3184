"""Random orientations found from spots: accuracy, symmetry, scale, and what must be refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from pipeline.reduction.serial.index import IndexedStills, index_stills, misorientation_deg, turns_of_lattice
from pipeline.reduction.serial.known import KnownLattice, known_lattice
from pipeline.reduction.serial.scale import calibrated
from pipeline.reduction.serial.stills import evidence
from pipeline.reduction.serial.templates import directions, make_templates
from tests.pipeline.reduction.serial.synthetic_stills import (  # type: ignore[import-not-found]
    MICROSCOPE,
    SWEEP,
    WAVENUMBER,
    Stills,
    make_stills,
)
from twin.model.crystal import Cell
from twin.model.instrument import Microscope

CUBIC = known_lattice(cell=Cell(a_angstrom=10.127, b_angstrom=10.127, c_angstrom=10.127), laue="m-3", centring="I")
BROOKITE = known_lattice(cell=Cell(a_angstrom=9.174, b_angstrom=5.449, c_angstrom=5.138), laue="mmm")
QUARTZ = known_lattice(cell=Cell(a_angstrom=4.913, b_angstrom=4.913, c_angstrom=5.405, gamma_deg=120.0), laue="-3m1")


def indexed(stills: Stills, known: KnownLattice, microscope: Microscope = MICROSCOPE) -> IndexedStills:
    return index_stills(
        peaks=stills.peaks, centre_px=stills.centre_px, known=known, microscope=microscope, sweep=SWEEP
    )


def errors_deg(stills: Stills, found: IndexedStills, known: KnownLattice) -> NDArray[np.float64]:
    symmetry = turns_of_lattice(known)
    pairs = [(still.rotation, f) for f, still in enumerate(found.stills) if still is not None]
    return np.array([misorientation_deg(r, stills.rotation[f][None], symmetry)[0] for r, f in pairs])


@pytest.mark.parametrize("known", [CUBIC, BROOKITE, QUARTZ], ids=["cubic", "orthorhombic", "trigonal"])
def test_random_orientations_are_found_in_spite_of_noise_and_foreign_spots(known: KnownLattice) -> None:
    stills = make_stills(known, frames=12, seed=4)
    found = indexed(stills, known)
    error = errors_deg(stills, found, known)
    assert len(error) >= 10  # the others look the same from another side and are refused, which is said
    assert f"{len(error)} of 12 frames" in found.sentence()
    assert np.median(error) < 0.2
    assert error.max() < 1.0  # none of them wrong


def test_without_noise_what_is_left_is_the_width_of_the_relrods() -> None:
    medians = []
    for diameter in (100.0, 1000.0):
        exact = make_stills(CUBIC, frames=8, seed=5, noise_px=0.0, foreign=0, diameter_angstrom=diameter)
        medians.append(float(np.median(errors_deg(exact, indexed(exact, CUBIC), CUBIC))))
    assert medians[0] < 0.2
    assert medians[1] < 0.6 * medians[0]  # a tenth of the width, but fewer spots


def test_the_centring_need_not_be_known() -> None:
    primitive = replace(CUBIC, centring="P")
    stills = make_stills(CUBIC, frames=8, seed=6)
    error = errors_deg(stills, indexed(stills, primitive), CUBIC)
    assert len(error) == 8
    assert error.max() < 1.0


def test_a_wrong_cell_is_refused() -> None:
    stills = make_stills(BROOKITE, frames=12, seed=7)
    wrong = known_lattice(cell=Cell(a_angstrom=8.3, b_angstrom=6.1, c_angstrom=4.6), laue="mmm")
    found = indexed(stills, wrong)
    assert len(found.found) == 0
    assert "no better than chance" in found.sentence()


def test_noise_without_a_lattice_is_refused() -> None:
    stills = make_stills(CUBIC, frames=10, seed=8, strongest=1, foreign=60)
    found = indexed(stills, CUBIC)
    assert len(found.found) == 0


def test_frames_with_few_spots_are_refused_and_counted() -> None:
    stills = make_stills(CUBIC, frames=6, seed=9)
    keep = (stills.peaks.frame != 2) | (np.cumsum(stills.peaks.frame == 2) <= 6)
    peaks = type(stills.peaks)(
        frame=stills.peaks.frame[keep],
        fast_px=stills.peaks.fast_px[keep],
        slow_px=stills.peaks.slow_px[keep],
        intensity=stills.peaks.intensity[keep],
        sigma=stills.peaks.sigma[keep],
    )
    found = indexed(replace(stills, peaks=peaks), CUBIC)
    assert found.found == [0, 1, 3, 4, 5]
    assert "1 with too few spots" in found.sentence()


@pytest.mark.parametrize("known", [CUBIC, BROOKITE], ids=["cubic", "orthorhombic"])
@pytest.mark.parametrize("camera_percent", [-2.0, 1.0])
def test_camera_length_and_ellipse_come_from_the_known_cell(known: KnownLattice, camera_percent: float) -> None:
    """To half a percent, which indexing takes (a pixel at 1.3 Å⁻¹); where lines lie far apart the ellipse too."""
    p = MICROSCOPE.projection
    length = p.camera_length_mm * (1 + 0.01 * camera_percent)
    actual = replace(
        MICROSCOPE,
        projection=replace(p, camera_length_mm=length, ellipse_percent=0.6, ellipse_azimuth_deg=35.0),
    )
    stills = make_stills(known, frames=40, seed=10, microscope=actual)
    found = calibrated(peaks=stills.peaks, centre_px=stills.centre_px, microscope=MICROSCOPE, known=known).projection
    assert found.camera_length_mm == pytest.approx(length, rel=5e-3)
    if known is CUBIC:
        assert found.ellipse_percent == pytest.approx(0.6, abs=0.2)
        assert found.ellipse_azimuth_deg == pytest.approx(35.0, abs=12.0)


@pytest.mark.parametrize("known", [CUBIC, BROOKITE, QUARTZ], ids=["cubic", "orthorhombic", "trigonal"])
def test_templates_leave_no_direction_far_from_one(known: KnownLattice) -> None:
    step = 4.0
    mine = directions(known, step_deg=step)
    assert len(mine) == pytest.approx(41253 / step**2 / len(known.lattice_turns), rel=0.25)
    everywhere = (turns_of_lattice(known) @ mine.T).transpose(0, 2, 1).reshape(-1, 3)
    probe = np.random.default_rng(0).standard_normal((500, 3))
    probe /= np.linalg.norm(probe, axis=1, keepdims=True)
    nearest = np.degrees(np.arccos(np.clip((probe @ everywhere.T).max(axis=1), -1, 1)))
    assert nearest.max() < 0.85 * step


def test_a_template_and_its_own_frame_correlate_to_one_at_the_right_azimuth() -> None:
    templates = make_templates(BROOKITE, wavenumber=WAVENUMBER, step_deg=12.0)
    spectra = templates.spectra.astype(np.complex128)
    curve = np.fft.irfft(np.sum(spectra[:, :, 3] * np.conj(spectra[:, :, 3]), axis=1), n=templates.polar.azimuthal)
    assert np.argmax(curve) == 0
    assert curve[0] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(("spots", "chance"), [(20, 0.02), (60, 0.1), (150, 0.02)])
def test_the_evidence_bounds_what_chance_can_do(spots: int, chance: float) -> None:
    for matched in range(spots + 1):
        tail = float(binom.sf(matched - 1, spots, chance))
        assert tail <= np.exp(-evidence(matched, spots, chance)) * (1 + 1e-9)
    values = [evidence(m, spots, chance) for m in range(spots + 1)]
    assert np.all(np.diff(values) >= 0)
