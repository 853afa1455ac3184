"""Published figures that our code must reach on measured data; short here, in full with the slow tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.refinement.engine import FrameEngine
from pipeline.refinement.measured import read_series
from pipeline.refinement.parameters import parametrise
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.tasks import FrameTask
from twin.files.cif import read_crystal
from twin.files.errors import InputError
from twin.physics.lattice import reciprocal_matrix
from twin.physics.structure_factors import structure_factors
from validation.realdata import data_folder
from validation.refinement.agreement import (
    UREA,
    UREA_CIF,
    UREA_THICKNESS_ANGSTROM,
    compare_urea,
    tilted_thickness_angstrom,
    urea_frames,
)
from validation.refinement.bethe import BetheEngine
from validation.refinement.cases import ALBITE_CIF, CASES, Case
from validation.refinement.extinction import fit_extinction
from validation.refinement.kept import code_digest, kept_rows, read_kept
from validation.refinement.measured import (
    as_published,
    case_rows,
    data_rows,
    displaced,
    distances_angstrom,
    expected_distance_angstrom,
    published_model,
    pulls,
    refine_case,
)
from validation.refinement.page import write_page
from validation.refinement.published import read_coordinate_su, read_jana_list, read_jana_sites
from validation.refinement.report import grouped_r, normal_quantiles
from validation.rows import Row

FOLDER = data_folder()
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no measured data (EDTWIN_REALDATA, ../shared/realdata)")


def test_jana_list_has_the_published_r_factor() -> None:
    """R(obs) 8.15 % of 1368 of 2663 reflections, as the CIF says."""
    found = read_jana_list(FOLDER / UREA_CIF)
    observed = found.measured > 3 * found.sigma
    f_obs, f_calc = (np.sqrt(np.clip(i, 0, None)) for i in (found.measured, found.calculated))
    assert len(found.hkl) == 2663
    assert observed.sum() == 1368
    assert 100 * np.abs(f_obs - f_calc)[observed].sum() / f_obs[observed].sum() == pytest.approx(8.15, abs=0.01)


def test_urea_agrees_with_dyngo_on_three_frames() -> None:
    assert compare_urea(FOLDER, every=24).r_dyngo_percent < 1.5


def test_jana_sites_are_those_of_the_list_of_atoms_with_more_digits() -> None:
    rounded = read_crystal(FOLDER / UREA_CIF)
    exact = read_jana_sites(FOLDER / UREA_CIF, rounded)
    for a, b in zip(rounded.sites, exact.sites, strict=True):
        np.testing.assert_allclose(a.fract, b.fract, atol=6e-4)
        assert a.u_aniso_angstrom2 is not None
        np.testing.assert_allclose(a.u_aniso_angstrom2, np.array(b.u_aniso_angstrom2), atol=6e-4)
    assert exact.sites[0].fract[2] == 0.321358
    with pytest.raises(InputError, match="m40"):
        read_jana_sites(FOLDER / "albite" / "jana2006_albite.cif", rounded)


@pytest.mark.slow
@pytest.mark.xfail(reason="not reached: the figure and what is left stand on the page of the validation", strict=True)
def test_urea_agrees_with_dyngo_on_all_frames() -> None:
    """The goal of the issue."""
    assert compare_urea(FOLDER, weak_s_max_per_angstrom=0.05).r_dyngo_percent <= 0.5


@pytest.mark.slow
@pytest.mark.parametrize("case", [c for c in CASES if c.goal is not None], ids=lambda c: c.id)
def test_goals_of_measured_refinements(case: Case, tmp_path: Path) -> None:
    missed = [row for row in case_rows(case, FOLDER, quick=False, kept=tmp_path) if row.met is False]
    assert not missed, "; ".join(f"{row.quantity}: {row.value:.4g}, goal {row.goal}" for row in missed)


@pytest.mark.slow
def test_dynamical_quartz_beats_kinematical_also_on_frames_held_out() -> None:
    """The frames held out have nothing but scale and turn: a better fit there is no fit of thickness or mosaicity."""
    cases = {case.id: case for case in CASES}
    model = published_model(cases["quartz-pets"], FOLDER)
    weak, full = (
        refine_case(cases[name], FOLDER, every=6, model=model) for name in ("quartz-pets-kinematical", "quartz-pets")
    )
    assert full.r_obs_percent < 0.7 * weak.r_obs_percent
    assert full.held_out_r_obs_percent is not None
    assert weak.held_out_r_obs_percent is not None
    assert full.held_out_r_obs_percent < 0.8 * weak.held_out_r_obs_percent
    ranges = grouped_r(full, full.f_obs, groups=4)
    assert sum(n for _, n, _, _ in ranges) == full.reflections_all
    expected, found = normal_quantiles(full)
    assert np.corrcoef(expected, found)[0, 1] > 0.9


def test_displaced_atoms_are_displaced_and_distances_see_it() -> None:
    model = published_model(next(c for c in CASES if c.id == "albite"), FOLDER)
    moved = displaced(model, generator=np.random.Generator(np.random.Philox(3)))
    mean, largest = distances_angstrom(moved, model)
    assert 0.02 < mean < largest < 0.13
    assert distances_angstrom(model, model) == (0.0, 0.0)


def test_displaced_atoms_stay_on_their_special_positions() -> None:
    """Urea: C and O stay on ½, 1, z and N on its mirror; quartz: Si stays on its axis, so that it is one atom."""
    models = {c.id: published_model(c, FOLDER) for c in CASES}
    moved = displaced(models["urea"], generator=np.random.Generator(np.random.Philox(3)))
    now = {site.label: site.fract for site in moved.sites}
    assert now["C1"][:2] == (0.5, 1.0)
    assert now["N1"][1] - now["N1"][0] == pytest.approx(0.5, abs=1e-12)
    assert distances_angstrom(moved, models["urea"])[0] > 0.01
    for seed in range(20):
        silicon = displaced(models["quartz-pets"], generator=np.random.Generator(np.random.Philox(seed))).sites[0]
        assert silicon.fract[0] == pytest.approx(1.0, abs=1e-9)
        assert silicon.fract[2] == pytest.approx(0.833333, abs=1e-6)
        assert silicon.u_aniso_angstrom2 is not None


def test_thickness_at_high_tilts_is_what_dyngo_took() -> None:
    """Frames beyond 45° with the correction agree better than with one thickness; it is none at α = 0."""
    assert tilted_thickness_angstrom(0.0, correction=0.1) == UREA_THICKNESS_ANGSTROM
    assert tilted_thickness_angstrom(60.0, correction=0.1) == pytest.approx(1.1 * UREA_THICKNESS_ANGSTROM)
    with_it, without = (compare_urea(FOLDER, every=20, correction=p).by_frame[[0, -1]] for p in (0.086538, 0.0))
    assert with_it.mean() < without.mean()


def test_weak_beams_by_second_order_are_as_good_as_coupled_ones() -> None:
    """Beams to 0.03 Å⁻¹ coupled, and those from 0.015 folded in, differ by a fraction of what leaving them out does."""
    few = replace(UREA, steps=24, mosaic_blocks=1, mosaicity_deg=0.0, s_g_max_per_angstrom=0.015)
    many = replace(few, s_g_max_per_angstrom=0.03)
    frame = urea_frames(FOLDER, read_jana_list(FOLDER / UREA_CIF), [36], settings=few)[0]
    crystal = read_crystal(FOLDER / UREA_CIF)
    parametrisation = parametrise(crystal, anisotropic=True)
    task = FrameTask(
        frame=frame, values=parametrisation.start, thickness_angstrom=600.0, tilt_deg=np.zeros(2), mosaicity_deg=0.0
    )

    def amplitudes(settings: DynamicalSettings, weak: float) -> np.ndarray:
        engine = BetheEngine(
            parametrisation=parametrisation, settings=settings, energy_kev=200.0, weak_s_max_per_angstrom=weak
        )
        return np.sqrt(engine.intensity(task))

    exact = amplitudes(many, 0.03)
    engine = FrameEngine(parametrisation=parametrisation, settings=many, energy_kev=200.0)
    ours = np.sqrt(engine.evaluate(task).intensity)
    np.testing.assert_allclose(exact, ours, rtol=2e-3, atol=1e-3 * exact.max())
    left_out, folded = (np.abs(amplitudes(few, weak) - exact).sum() for weak in (0.0151, 0.03))
    assert folded < 0.6 * left_out


def test_published_uncertainties_are_read() -> None:
    found = read_coordinate_su(FOLDER / ALBITE_CIF)
    assert found["Na1.y"] == pytest.approx(0.0009)
    assert len(found) == 39
    assert "C1.x" not in read_coordinate_su(FOLDER / UREA_CIF)  # on a special position


def test_reflections_that_jana_left_out_are_left_out() -> None:
    case = next(c for c in CASES if c.id == "urea")
    series = read_series(FOLDER / case.data, hall=published_model(case, FOLDER).hall)
    kept = read_jana_list(FOLDER / UREA_CIF)
    chosen = as_published(series, kept).reflections
    assert len(chosen.hkl) == len(kept.hkl) == 2663
    assert chosen.intensity.sum() == pytest.approx(kept.measured.sum(), rel=1e-6)


def test_pulls_are_differences_over_uncertainties() -> None:
    """A coordinate off by 0.003 with s.u.s of 0.0003 and 0.0004 is 6 s.u. off; fixed ones are left out."""
    case = next(c for c in CASES if c.id == "quartz-pets")
    model = published_model(case, FOLDER)
    oxygen = model.sites[1]
    x, y, z = oxygen.fract
    moved = replace(model, sites=(model.sites[0], replace(oxygen, fract=(x + 0.003, y, z))))
    refined = SimpleNamespace(crystal=moved, standard_uncertainties={"O1.x": 0.0003, "O1.y": 0.0003, "Si1.z": 0.0})
    found = pulls(refined, model, published={"O1.x": 0.0004})  # type: ignore[arg-type]
    assert found == {"O1.x": pytest.approx(6.0), "O1.y": pytest.approx(0.0)}


def test_distance_that_uncertainties_explain_is_that_of_sites_scattered_by_them() -> None:
    """Drawn sites of albite, with s.u.s of 0.008 Å here and 0.006 Å there, are as far apart as is expected."""
    model = published_model(next(c for c in CASES if c.id == "albite"), FOLDER)
    lengths = dict(zip("xyz", model.cell.parameters[:3], strict=True))
    names = {f"{site.label}.{axis}": lengths[axis] for site in model.sites for axis in "xyz"}
    ours, theirs = ({name: su / length for name, length in names.items()} for su in (0.008, 0.006))
    refined = SimpleNamespace(crystal=model, standard_uncertainties=ours)
    expected = expected_distance_angstrom(refined, published=theirs)  # type: ignore[arg-type]
    drawn = np.random.default_rng(4).normal(0.0, 0.01, (20000, 3))
    assert expected == pytest.approx(np.linalg.norm(drawn, axis=1).mean(), rel=0.01)


def test_extinction_that_was_put_in_comes_out() -> None:
    """F of albite on eight frames, weakened by x = 3000 or not at all, scales of the frames wrong by up to two."""
    model = published_model(next(c for c in CASES if c.id == "albite"), FOLDER)
    rng = np.random.default_rng(6)
    hkl = np.unique(rng.integers(-6, 7, (800, 3)), axis=0)
    hkl = hkl[hkl.any(axis=1)]
    frame = rng.integers(0, 8, len(hkl))
    strong = np.abs(structure_factors(crystal=model, hkl=hkl))
    g = np.linalg.norm(hkl @ reciprocal_matrix(model.cell).T, axis=1)
    wavelength = 0.0251
    sine = wavelength * g * np.sqrt(1.0 - (0.5 * wavelength * g) ** 2)
    for x in (3000.0, 0.0):
        weakened = strong / (1.0 + 0.001 * x * strong**2 * wavelength**3 / sine) ** 0.25
        refined = SimpleNamespace(
            crystal=model, hkl=hkl, frame=frame, f_calc=strong * rng.uniform(0.5, 2.0, 8)[frame], f_obs=weakened,
            sigma_f=np.full(len(hkl), 0.01 * weakened.max()), observed=np.ones(len(hkl), dtype=bool),
        )  # fmt: skip
        found = fit_extinction(refined, wavelength_angstrom=wavelength)  # type: ignore[arg-type]
        assert found.coefficient == pytest.approx(x, rel=1e-3, abs=1.0)
        assert found.r_obs_percent[1] < 0.01
        assert (found.r_obs_percent[0] > 1.0) == (x > 0)


def test_what_reading_puts_right_is_said() -> None:
    """Quartz of PETS2 needs both corrections, DIALS' export neither."""
    rows = {row.id: row for row in data_rows(FOLDER)}
    assert "listed one" in rows["data-quartz-pets"].note
    assert "tilt axis" in rows["data-quartz-pets"].note
    assert rows["data-quartz-dials"].note == "nothing to put right"


def test_rows_are_kept_for_their_recipe_with_the_state_of_the_code(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> list[Row]:
        made.append(1)
        return [Row(id="quartz-a", quantity="b", value=1.5, unit="%", met=True)]

    first = kept_rows(tmp_path, "x", recipe="one", make=make)
    assert kept_rows(tmp_path, "x", recipe="one", make=make) == first
    assert len(made) == 1
    kept_rows(tmp_path, "x", recipe="two", make=make)
    assert len(made) == 2
    kept = read_kept(tmp_path)
    assert [k.code for k in kept] == [code_digest()] * 2
    older = [replace(kept[0], code="0123456789ab"), kept[1]]
    write_page(tmp_path / "page.md", first, older, quick=False)
    text = (tmp_path / "page.md").read_text()
    assert "0123456789ab (an earlier state)" in text
    assert "## Quartz" in text
    assert "## Albite" not in text
    next(tmp_path.glob("x-*.json")).write_text("{}")
    with pytest.raises(InputError, match="delete the file"):
        read_kept(tmp_path)
