"""Scenarios: every row of the study is there; nothing that is wrong gets past the schema."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from pipeline.solution.options import FlipOptions
from scenarios.build import tilt_plan
from scenarios.load import LIBRARY, library_names, load_scenario
from scenarios.schema import Acquisition, Scenario
from scenarios.solving import flip_options, seed_of
from scenarios.toml import scenario_toml
from twin.files.errors import InputError

ROWS = {
    "brookite-ua": (400, "continuous", 200.0, 300.0),
    "brookite-iit": (116, "continuous", 120.0, 600.0),
    "brookite-cnrs-01": (99, "precession", 200.0, 100.0),
    "brookite-cnrs-02": (53, "precession", 200.0, 100.0),
    "brookite-cnrs-03": (42, "precession", 200.0, 100.0),
    "brookite-cnrs-04": (74, "precession", 200.0, 100.0),
    "ito-01": (40, "precession", 200.0, 25.0),
    "ito-02": (34, "precession", 200.0, 25.0),
    "anatase": (39, "precession", 200.0, 30.0),
    "mgti2o5": (41, "precession", 200.0, 65.0),
}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_each_row_of_the_study_is_in_the_library(name: str) -> None:
    scenario = load_scenario(name).scenario
    plan, beam = scenario.acquisition, scenario.instrument.beam
    assert (plan.frame_count, plan.mode, beam.energy_kev, beam.diameter_nm) == ROWS[name]
    assert scenario.status == "ready"
    assert scenario.study is not None
    assert scenario.study.kinematical.r_obs_percent is not None


def test_fluences_are_those_that_the_study_states() -> None:
    """Claim C25: 132 e/Å² (UA), 5.8 (IIT), 6.1e4 (ITO-01)."""
    for name, fluence in (("brookite-ua", 132.0), ("brookite-iit", 5.8), ("ito-01", 60800.0)):
        s = load_scenario(name).scenario
        total = s.instrument.beam.flux_e_per_angstrom2_s * s.acquisition.exposure_s * s.acquisition.frame_count
        assert total == pytest.approx(fluence, rel=0.01)


def test_the_resolution_of_each_row_falls_on_its_detector() -> None:
    for name in ROWS:
        s = load_scenario(name).scenario
        wavelength = {200.0: 0.025079, 120.0: 0.033492}[s.instrument.beam.energy_kev]
        half = 0.5 * s.instrument.detector.fast_px * s.instrument.detector.pixel_size_um * 1e-3
        edge = math.sin(math.atan(half / s.instrument.projection.camera_length_mm)) / wavelength
        assert s.reduction.g_max_per_angstrom is not None
        assert edge > s.reduction.g_max_per_angstrom


def test_the_serial_row_says_what_it_knows_and_has_no_tilts() -> None:
    scenario = load_scenario("ito-03").scenario
    assert scenario.acquisition.frame_count == 812
    assert scenario.reduction.laue == "m-3"
    assert tilt_plan(scenario).step_deg == 0.0
    assert set(library_names()) == {*ROWS, "ito-03"}


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("acquisition.mode=stills", "frames must be given"),
        ("reduction.laue=m3", "laue"),
        ("reduction.cell_angstrom_deg=[10.1, 10.1, 10.1, 90, 90, 190]", "cell_angstrom_deg"),
        ("reduction.cell_angstrom_deg=[10.1, 10.1]", "cell_angstrom_deg"),
        ("acquisition.frames=0", "frames"),
    ],
)
def test_a_serial_scenario_that_lacks_something_is_refused(override: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_scenario("ito-03", overrides=[override])


def test_a_tilt_series_without_its_angles_is_refused() -> None:
    overrides = ["acquisition.mode=serial", "acquisition.precession_deg=0", "acquisition.frames=5"]
    with pytest.raises(InputError, match=r"needs reduction\.cell_angstrom_deg and reduction\.laue"):
        load_scenario("ito-01", overrides=overrides)
    table = {"mode": "stills", "exposure_s": 1.0, "start_deg": -5.0}
    with pytest.raises(ValueError, match="step_deg, stop_deg must be given"):
        Acquisition.model_validate(table)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_resolved_scenario_reads_back_as_itself(name: str, tmp_path: Path) -> None:
    loaded = load_scenario(name)
    (tmp_path / "scenario.toml").write_text(scenario_toml(loaded.scenario, name=loaded.name, cif="truth/material.cif"))
    again = load_scenario(tmp_path / "scenario.toml")
    expected = loaded.scenario.model_dump()
    expected["material"]["cif"], expected["name"] = again.scenario.material.cif, name
    assert again.scenario.model_dump() == expected
    assert again.cif_path == (tmp_path / "truth" / "material.cif")


@pytest.mark.parametrize(
    ("override", "key", "says"),
    [
        ("particle.size_angstrom=[1,1,1]", "particle.size_angstrom", "did you mean size_nm"),
        ("acquisition.step_deg=nan", "acquisition.step_deg", "finite"),
        ("instrument.beam.flux_e_per_angstrom2_s=inf", "instrument.beam.flux_e_per_angstrom2_s", "finite"),
        ("acquisition.step_deg=0", "acquisition.step_deg", "> 0"),
        ("acquisition.stop_deg=89", "acquisition", "max_tilt_deg"),
        ("acquisition.step_deg=0.0001", "acquisition", "at most 2000"),
        ("seed=true", "seed", "integer"),
        ("particle.shape=cube", "particle.shape", "'sphere', 'ellipsoid', 'rod', 'box' or 'polyhedron'"),
        ("particle.size_nm=[10,10,11]", "particle", "three equal sizes"),
        ("material.cif=/etc/passwd", "material.cif", "relative"),
        ("material.cif=../../../etc/passwd", "material.cif", "leaves the folder"),
        ("instrument.detector.fast_px=100000", "instrument.detector.fast_px", "<= 4096"),
        ("engine=3", "engine", "dictionary"),
        ("=3", "", "key=value"),
        ("title.x=3", "title.x", "no keys below"),
    ],
)
def test_a_wrong_value_is_one_sentence_with_its_key(override: str, key: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        load_scenario("ito-01", overrides=[override])
    message = str(caught.value)
    assert key in message
    assert says in message
    assert "\n" not in message


def test_extends_does_not_leave_its_folder_nor_go_round(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('extends = "b.toml"\n')
    (tmp_path / "b.toml").write_text('extends = "a.toml"\n')
    for text, says in (
        ('extends = "../x.toml"', "leaves"),
        ('extends = "/etc/passwd"', "relative"),
        ('extends = "a.toml"', "circle"),
        ('extends = "none.toml"', "does not exist"),
        ("extends = 3", "file name"),
    ):
        (tmp_path / "c.toml").write_text(text)
        with pytest.raises(InputError, match=says):
            load_scenario(tmp_path / "c.toml")
    (tmp_path / "link.toml").symlink_to("/etc/hostname")
    (tmp_path / "c.toml").write_text('extends = "link.toml"')
    with pytest.raises(InputError, match="leaves"):
        load_scenario(tmp_path / "c.toml")


def test_a_users_scenario_may_extend_the_library(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('extends = "library:ito-01.toml"\n[particle]\nsize_nm = [8.0, 8.0, 8.0]\n')
    loaded = load_scenario(tmp_path / "mine.toml")
    assert loaded.scenario.particle.size_nm == (8.0, 8.0, 8.0)
    assert loaded.cif_path.is_relative_to(LIBRARY)


TOKENS = ("nan", "-inf", "inf", "1e400", "-1", "0", "true", '""', '"x"', "[]", "[nan]", "{}", "1979-05-27", "9" * 400)


def _mutate(text: str, rng: random.Random) -> bytes:
    lines = text.splitlines()
    numbered = [i for i, line in enumerate(lines) if "=" in line]
    kind, i = rng.randrange(9), rng.choice(numbered)
    key = lines[i].partition("=")[0]
    if kind in (0, 1, 2):
        lines[i] = f"{key}= {rng.choice(TOKENS)}"
    elif kind == 3:
        lines[i] = f"{key.strip()}{rng.choice(['_mm', 'x', '.y', '-'])} = 1"
    elif kind == 4:
        lines.insert(rng.randrange(len(lines)), lines[i])
    elif kind == 5:
        del lines[rng.randrange(len(lines))]
    elif kind == 6:
        return "\n".join(lines).encode()[: rng.randrange(20, len(text))]
    elif kind == 7:
        data = bytearray("\n".join(lines).encode())
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data)
    else:
        lines[i] = f"{key}= {'[' * rng.choice([3, 3000])}"
    return "\n".join(lines).encode()


def _finite(value: object) -> bool:
    if isinstance(value, dict):
        return all(_finite(v) for v in value.values())
    if isinstance(value, list | tuple):
        return all(_finite(v) for v in value)
    return not isinstance(value, float) or math.isfinite(value)


def _try(path: Path) -> tuple[Scenario | None, str]:
    try:
        return load_scenario(path).scenario, ""
    except InputError as error:
        return None, str(error)


def test_two_hundred_broken_scenarios_end_in_a_sentence_or_are_sound(tmp_path: Path) -> None:
    rng = random.Random(20599)
    refused = 0
    for case in range(200):
        name = rng.choice(sorted(ROWS))
        loaded = load_scenario(name)
        path = tmp_path / "broken.toml"
        path.write_bytes(_mutate(scenario_toml(loaded.scenario, name=name, cif="material.cif"), rng))
        accepted, message = _try(path)
        if accepted is None:
            refused += 1
            assert "broken.toml" in message, case
            assert "\n" not in message
            assert len(message) < 900
        else:
            assert _finite(accepted.model_dump()), case
    assert refused > 120  # the rest changed comments, optional keys or values within their bounds


@pytest.mark.parametrize("wrong", ["engine.kind=bloch", "membrane.material=none", "membrane.thickness_nm=0.0"])
def test_a_film_of_atoms_needs_multislice_and_carbon(wrong: str) -> None:
    film = ("engine.kind=multislice", "engine.film_as_atoms=true")
    assert load_scenario("ito-01", overrides=film).scenario.engine.film_as_atoms
    with pytest.raises(InputError, match=r"film_as_atoms needs engine\.kind"):
        load_scenario("ito-01", overrides=(*film, wrong))


def test_options_of_charge_flipping_reach_the_solver() -> None:
    sets = ("solution.delta=0.9", "solution.normalise=F", "solution.missing=zero", "solution.repeat=always")
    scenario = load_scenario("ito-01", overrides=sets).scenario
    assert flip_options(scenario) == FlipOptions(delta=0.9, normalise="F", missing="zero", repeat="always")
    assert flip_options(load_scenario("ito-01").scenario) == FlipOptions()


def test_the_seed_of_the_solution_is_the_scenarios_unless_it_has_its_own() -> None:
    plain, own = (load_scenario("ito-01", overrides=("seed=9", *sets)).scenario for sets in ((), ("solution.seed=4",)))
    assert (seed_of(plain), seed_of(own)) == (9, 4)
    assert plain.seed == own.seed  # the frames stay the same


@pytest.mark.parametrize(
    "setting", ["delta=0.05", "delta=nan", "missing=fill", "weak_share=1", "cycles=0", "repeat=no"]
)
def test_an_option_of_charge_flipping_out_of_its_range_is_refused(setting: str) -> None:
    with pytest.raises(InputError, match=f"solution.{setting.split('=')[0]}"):
        load_scenario("ito-01", overrides=(f"solution.{setting}",))
