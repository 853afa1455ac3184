"""Measured series: what is put right on reading, mosaic blocks, frames held out, the other hand."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import pipeline.refinement.engine as engine_module
from pipeline.io.shelx_model import parse_shelx_model
from pipeline.refinement.engine import FrameEngine
from pipeline.refinement.frames import FrameData, block_positions, exposure_directions, mosaic_directions
from pipeline.refinement.hand import hand_z, inverted, log_density
from pipeline.refinement.held_out import split_frames
from pipeline.refinement.measured import read_series, with_cell
from pipeline.refinement.parameters import parametrise
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.tasks import FrameTask
from pipeline.types import Refinement
from twin.files.errors import InputError
from twin.model.crystal import Cell, Crystal, Site
from twin.physics.electrons import energy_kev_of_wavelength, wavelength_angstrom
from twin.physics.lattice import cell_from_reciprocal_matrix, reciprocal_matrix, rotation_matrix
from twin.physics.structure_factors import structure_factors

FOLDER = Path(os.environ.get("EDTWIN_REALDATA", Path(__file__).resolve().parents[4] / "shared" / "realdata"))
measured = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no measured data at {FOLDER}")
QUARTZ = Crystal(
    name="quartz",
    cell=Cell(a_angstrom=4.9226, b_angstrom=4.9226, c_angstrom=5.4003, gamma_deg=120.0),
    hall='P 32 2"',
    sites=(
        Site(label="Si1", element="Si", fract=(1.0, 0.4713, 5 / 6), u_iso_angstrom2=0.009),
        Site(label="O1", element="O", fract=(0.8547, 0.5858, 0.6187), u_iso_angstrom2=0.016),
    ),
)


def frame_of(crystal: Crystal, *, steps: int = 16) -> FrameData:
    """One frame of continuous rotation about x with all near reflections up to 0.9 Å⁻¹."""
    turn = rotation_matrix(axis=(0.3, 0.5, 0.8), angle_deg=37.0)
    lab = turn @ reciprocal_matrix(crystal.cell)
    hkl = np.array(list(np.ndindex(9, 9, 9))) - 4
    g = hkl @ lab.T
    s = np.abs(-g[:, 2] - np.sum(g**2, axis=1) * 0.0251 / 2)
    hkl = hkl[(s < 0.008) & (np.linalg.norm(g, axis=1) < 0.9) & hkl.any(axis=1)]
    one = np.ones(len(hkl))
    return FrameData(
        index=0, hkl=hkl, intensity=one, sigma=one, weights=one, reciprocal_lab=lab, across=np.array([0.0, 1.0, 0.0]),
        directions=exposure_directions(mode="continuous", semi_angle_deg=0.7, steps=steps, tilt_axis_deg=0.0),
    )  # fmt: skip


def test_energy_of_a_wavelength_goes_round() -> None:
    for energy in (80.0, 120.0, 200.0, 300.0):
        assert energy_kev_of_wavelength(wavelength_angstrom(energy_kev=energy)) == pytest.approx(energy, rel=1e-12)


def test_listed_cell_keeps_the_orientation_of_ub() -> None:
    b = reciprocal_matrix(QUARTZ.cell)
    turn = rotation_matrix(axis=(1.0, 2.0, -0.5), angle_deg=61.0)
    ub, deviation = with_cell(1.01 * turn @ b, QUARTZ.cell)
    np.testing.assert_allclose(ub, turn @ b, atol=1e-12)
    assert deviation == pytest.approx(0.01)
    with pytest.raises(InputError, match="left-handed"):
        with_cell(-turn @ b, QUARTZ.cell)


def test_mosaic_blocks_have_the_spread_and_the_slope_that_they_say() -> None:
    turns = block_positions(5)
    assert turns.mean() == pytest.approx(0.0)
    assert turns.std() == pytest.approx(1.0)
    assert turns[4] / turns[3] == pytest.approx(1.2815516 / 0.5244005)  # 90 % and 70 % points of a Gaussian
    base, across = np.array([[0.0, 0.0, 1.0]]), np.array([0.0, 1.0, 0.0])
    out, slope = mosaic_directions(directions=base, across=across, turns=turns, mosaicity_deg=0.2)
    np.testing.assert_allclose(np.degrees(np.arcsin(np.abs(out[:, 0]))), 0.2 * np.abs(turns), atol=1e-9)
    more, _ = mosaic_directions(directions=base, across=across, turns=turns, mosaicity_deg=0.2 + 1e-5)
    less, _ = mosaic_directions(directions=base, across=across, turns=turns, mosaicity_deg=0.2 - 1e-5)
    np.testing.assert_allclose(slope, (more - less) / 2e-5, atol=1e-8)


@pytest.mark.parametrize("kinematical", [False, True])
def test_derivative_by_mosaicity_is_that_of_differences(kinematical: bool) -> None:
    settings = DynamicalSettings(
        mode="continuous", g_max_per_angstrom=1.0, single_precision=False, mosaic_blocks=3, kinematical=kinematical,
        mosaicity_deg=0.2, beams_per_step=False, thickness_model="wedge",
    )  # fmt: skip
    p = parametrise(QUARTZ)
    engine = FrameEngine(parametrisation=p, settings=settings, energy_kev=200.0)
    task = FrameTask(frame=frame_of(QUARTZ), values=p.start, thickness_angstrom=300.0, tilt_deg=np.zeros(2))
    at = engine.evaluate(replace(task, mosaicity_deg=0.2, mosaicity=True, orientation=True))
    h = 1e-4
    high, low = (engine.evaluate(replace(task, mosaicity_deg=0.2 + d)).intensity for d in (h, -h))
    np.testing.assert_allclose(at.mosaicity, (high - low) / (2 * h), rtol=1e-4, atol=1e-6 * np.abs(at.mosaicity).max())
    assert at.orientation.shape == (2, len(at.intensity))


def test_differences_give_the_derivatives_of_the_decomposition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ways to the same derivatives, for beams chosen step by step."""
    settings = DynamicalSettings(
        mode="continuous", g_max_per_angstrom=1.0, single_precision=False, mosaic_blocks=3, mosaicity_deg=0.2,
        beams_per_step=True, thickness_model="wedge",
    )  # fmt: skip
    p = parametrise(QUARTZ)
    task = FrameTask(
        frame=frame_of(QUARTZ), values=p.start, thickness_angstrom=300.0, tilt_deg=np.zeros(2), mosaicity_deg=0.2,
        structure=True, orientation=True, thickness=True, mosaicity=True,
    )  # fmt: skip
    found = []
    for decompose in (True, False):
        monkeypatch.setattr(engine_module, "eigen_is_cheaper", lambda decompose=decompose, **costs: decompose)
        found.append(FrameEngine(parametrisation=p, settings=settings, energy_kev=200.0).evaluate(task))
    exact, steps = found
    np.testing.assert_allclose(steps.intensity, exact.intensity, rtol=1e-8)
    for name in ("structure", "orientation", "thickness", "mosaicity"):
        of_steps, of_chain_rule = getattr(steps, name), getattr(exact, name)
        assert of_steps.shape == of_chain_rule.shape
        np.testing.assert_allclose(of_steps, of_chain_rule, atol=2e-4 * np.abs(of_chain_rule).max())


def test_no_mosaicity_is_one_block() -> None:
    settings = DynamicalSettings(mode="continuous", g_max_per_angstrom=1.0, single_precision=False)
    p = parametrise(QUARTZ)
    task = FrameTask(frame=frame_of(QUARTZ), values=p.start, thickness_angstrom=300.0, tilt_deg=np.zeros(2))
    plain, blocks = (
        FrameEngine(parametrisation=p, settings=replace(settings, mosaic_blocks=n), energy_kev=200.0) for n in (1, 5)
    )
    tiny = replace(task, mosaicity_deg=1e-7)
    np.testing.assert_allclose(blocks.evaluate(tiny).intensity, plain.evaluate(task).intensity, rtol=1e-5)


def test_beams_of_each_step_converge_to_all_beams() -> None:
    """The wider the cut-off of each step, the nearer; a few per cent at 0.03 Å⁻¹."""
    p, frame = parametrise(QUARTZ), frame_of(QUARTZ)
    found = []
    for cut, per_step in ((0.09, False), (0.09, True), (0.03, True)):
        settings = DynamicalSettings(
            mode="continuous", g_max_per_angstrom=1.0, s_g_max_per_angstrom=cut, beams_per_step=per_step
        )
        engine = FrameEngine(parametrisation=p, settings=settings, energy_kev=200.0)
        task = FrameTask(frame=frame, values=p.start, thickness_angstrom=300.0, tilt_deg=np.zeros(2))
        found.append(np.sqrt(engine.evaluate(task).intensity))
    near, far = (np.abs(f - found[0]).sum() / found[0].sum() for f in found[1:])
    assert near < 5e-3
    assert near < far < 0.03


def test_the_other_hand_has_the_same_moduli_and_another_group() -> None:
    other = inverted(QUARTZ)
    assert other.hall == 'P 31 2"'
    hkl = np.array([[1, 0, 1], [2, 1, -3], [0, 1, 2], [3, -1, 1]])
    f, back = structure_factors(crystal=QUARTZ, hkl=hkl), structure_factors(crystal=other, hkl=-hkl)
    np.testing.assert_allclose(np.abs(f), np.abs(back), rtol=1e-9)
    assert inverted(other).hall == QUARTZ.hall


@pytest.mark.parametrize("hall", ["P 2yb", "P 4abw 2nw", "I 4bw", "F 2 -2d", "I -4 2bw", "P 61", "I 4bd -2c"])
def test_the_other_hand_in_groups_with_their_own_centre(hall: str) -> None:
    cell = Cell(a_angstrom=6.0, b_angstrom=6.0, c_angstrom=9.0, gamma_deg=120.0 if "6" in hall else 90.0)
    model = replace(QUARTZ, cell=cell, hall=hall, sites=(replace(QUARTZ.sites[1], fract=(0.11, 0.23, 0.37)),))
    hkl = np.array([[1, 0, 1], [2, 2, 0], [1, 2, 3], [3, 1, 2]])
    f = structure_factors(crystal=model, hkl=hkl)
    back = structure_factors(crystal=inverted(model), hkl=-hkl)
    np.testing.assert_allclose(np.abs(f), np.abs(back), atol=1e-9)


def refinement_with(f_calc: np.ndarray) -> Refinement:
    n = len(f_calc)
    hkl = np.stack([np.arange(n), np.ones(n), np.zeros(n)], axis=1).astype(np.int64)
    return Refinement(
        kind="dynamical", crystal=QUARTZ, parameters=5, reflections_all=n, reflections_obs=n, r_obs_percent=5.0,
        r_all_percent=5.0, wr_all_percent=5.0, gof_obs=1.0, hkl=hkl, frame=np.zeros(n, dtype=np.int64),
        f_obs=np.full(n, 10.0), f_calc=f_calc, sigma_f=np.full(n, 0.5), observed=np.ones(n, dtype=bool),
        standard_uncertainties={}, thickness_nm=None, frame_scale=None, rotation=None, verdict="", cycles=1,
    )  # fmt: skip


def test_z_of_the_hands_is_antisymmetric_and_of_order_one_without_a_difference() -> None:
    rng = np.random.default_rng(3)
    a, b = (refinement_with(10.0 + rng.normal(0.0, 0.5, 400)) for _ in range(2))
    worse = refinement_with(10.0 + rng.normal(0.0, 1.0, 400))
    assert abs(hand_z(a, b)) < 3.0
    assert hand_z(a, worse) > 8.0
    assert hand_z(worse, a) == pytest.approx(-hand_z(a, worse), abs=1e-9)
    assert hand_z(a, a) == 0.0


def in_frames(f_calc: np.ndarray, frame: np.ndarray) -> Refinement:
    return replace(refinement_with(f_calc), frame=frame)


def test_z_of_the_hands_is_a_standard_deviation_when_neither_is_right() -> None:
    """Long tails, and frames that either hand gets wrong in common: z of 80 pairs scatters by about one.

    Taking the 1000 reflections as independent, it would scatter by twice as much.
    """
    rng = np.random.default_rng(8)
    frame = np.repeat(np.arange(40), 25)
    found = []
    for _ in range(80):
        level = np.exp(rng.normal(0.0, 0.5, (2, 40)))[:, frame]
        a, b = (in_frames(10.0 + 0.5 * size * rng.standard_t(3, 1000), frame) for size in level)
        found.append(hand_z(a, b))
    assert 0.6 < np.mean(np.square(found)) < 1.6
    assert abs(np.mean(found)) < 0.4


def test_a_few_reflections_do_not_decide_the_hand() -> None:
    """One of the other hand's reflections 100 s.u. off, against a hand whose errors are a tenth smaller throughout."""
    rng = np.random.default_rng(9)
    frame = np.repeat(np.arange(40), 25)
    common = rng.standard_t(3, 1000)
    given, other = 10.0 + 0.5 * common, 10.0 + 0.55 * common
    before = hand_z(in_frames(given, frame), in_frames(other, frame))
    given[137] += 50.0
    after = hand_z(in_frames(given, frame), in_frames(other, frame))
    assert before > 5.0
    assert after > 4.0


def test_residuals_are_given_the_t_distribution_that_they_come_from() -> None:
    rng = np.random.default_rng(10)
    residual = 0.7 * rng.standard_t(4.0, 20000)
    fitted, true = log_density(residual, smallest=1e-6), stats.t.logpdf(residual, 4.0, 0.0, 0.7)
    assert 0.0 <= float((fitted - true).sum()) < 6.0  # twice the excess is χ² with two degrees of freedom
    np.testing.assert_allclose(fitted, true, atol=0.3)


def test_every_nth_frame_is_held_out() -> None:
    frames = [replace(frame_of(QUARTZ), index=i) for i in range(11)]
    work, held = split_frames(frames, every=5)
    assert [f.index for f in held] == [2, 7]
    assert len(work) + len(held) == 11
    assert split_frames(frames, every=0) == (tuple(frames), ())


RES = """TITL quartz
CELL 0.0251 4.9226 4.9226 5.4003 90 90 120
ZERR 3 0.001 0.001 0.001 0 0 0
LATT -1
SYMM -y, x-y, z+2/3
SYMM -x+y, -x, z+1/3
SYMM y, x, -z
SYMM x-y, -y, -z+1/3
SYMM -x, -x+y, -z+2/3
SFAC Si O
UNIT 3 6
FVAR 1.0 0.9
Si1  1  1.0 0.4713 10.833333 10.5 0.009
O1   2  0.8547 0.5858 0.6187 21.0 0.013 0.020 =
        0.016 0.004 -0.003 0.009
HKLF 4
END
Q1 1 0.1 0.1 0.1 11.0 0.05 1.0
"""


def test_shelx_model_has_group_tensors_and_chemical_occupancies() -> None:
    model = parse_shelx_model(RES, source="x.res")
    assert model.hall == QUARTZ.hall
    assert [s.label for s in model.sites] == ["Si1", "O1"]
    assert model.sites[0].occupancy == pytest.approx(1.0)  # 0.5 on a two-fold axis
    assert model.sites[1].occupancy == pytest.approx(0.9)  # free variable 2
    assert model.sites[1].u_aniso_angstrom2 == pytest.approx((0.013, 0.020, 0.016, 0.009, -0.003, 0.004))


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [("CELL", "CALL", "CELL"), ("LATT -1", "LATT 9", "LATT"), ("-y, x-y, z+2/3", "q", "SYMM"), ("21.0", "91.0", "FVAR"),
     ("Si1  1", "Si1  7", "SFAC"), ("0.8547", "here", "numbers")],
)  # fmt: skip
def test_damaged_shelx_models_are_refused_in_one_sentence(old: str, new: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        parse_shelx_model(RES.replace(old, new), source="x.res")


@measured
def test_quartz_is_put_right_without_a_model() -> None:
    """UB 1.2 % off the listed cell, the frames' middle 0.5° off; DIALS' list of the same crystal is not."""
    series = read_series(FOLDER / "quartz_pets" / "quartz_exp_data.cif_pets")
    assert len(series.notes) == 2
    np.testing.assert_allclose(
        cell_from_reciprocal_matrix(series.orientation.ub).parameters, (4.9226, 4.9226, 5.4003, 90, 90, 120), atol=1e-9
    )
    raw = read_series(FOLDER / "quartz_pets" / "quartz_exp_data.cif_pets", centre=False)
    turn = series.orientation.rotation[0] @ raw.orientation.rotation[0].T
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) == pytest.approx(0.50, abs=0.03)
    assert read_series(FOLDER / "quartz_dials" / "dials_dyn.cif_pets").notes == ()
