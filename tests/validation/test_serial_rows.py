"""Rows of the serial study from summaries; what is missing is not met; records of other code are not used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from twin.files.json import write_json
from validation.mountings.record import code_digest
from validation.serial.limit import information_limit
from validation.serial.loosened import turned_text
from validation.serial.page import write_page
from validation.serial.run import exposure_rows, limit_rows, on_frames_rows, precession_rows, study_rows
from validation.serial.runs import Finished, kept

AVERAGED = {"r_obs_percent": 5.0, "r_all_percent": 6.0, "max_distance_angstrom": 0.006, "mean_distance_angstrom": 0.004}
GOOD = Finished(
    summary={
        "frames": {"count": 812},
        "data": {"completeness_percent": 100.0, "redundancy": 13.7, "r_int_percent": 7.6},
        "orientation": {"indexed_frames_percent": 99.9, "right_frames_percent": 99.4, "median_error_deg": 0.02},
        "intensity": {"cc_with_truth": 0.998},
        "kinematical": {"averaged": AVERAGED, "frame_based": None},
        "dynamical": {"r_obs_percent": 6.0, "mean_distance_angstrom": 0.001},
    }
)


def with_data(**changes: float) -> Finished:
    return Finished(summary={**GOOD.summary, "data": {**GOOD.summary["data"], **changes}})


def test_the_bands_of_the_claims_decide() -> None:
    met = {row.id: row.met for row in study_rows(GOOD)}
    assert (met["study-completeness"], met["study-redundancy"], met["study-max"], met["study-right"]) == (True,) * 4
    assert met["study-r-int"] is None  # nothing is asked of it
    for redundancy in (9.0, 23.0):
        assert {r.id: r.met for r in study_rows(with_data(redundancy=redundancy))}["study-redundancy"] is False


def test_what_a_run_did_not_come_to_is_not_met() -> None:
    nothing = Finished(summary={"data": None}, complaint="reduce gave up: no lattice")
    rows = {row.id: row for row in study_rows(nothing)}
    assert rows["study-completeness"].value is None
    assert rows["study-completeness"].met is False
    weak = exposure_rows(nothing, 0.005)
    assert weak[0].note == "reduce gave up: no lattice"
    assert all(row.value is None for row in weak)


@pytest.mark.parametrize(("other", "met"), [(0.004, True), (0.009, False), (0.0019, False)])
def test_serial_and_precession_are_within_a_factor_of_two(other: float, met: bool) -> None:
    precession = Finished(summary={"kinematical": {"averaged": {"mean_distance_angstrom": other}}})
    assert precession_rows(GOOD, precession)[0].met is met


def test_every_row_finds_its_place_on_the_page(tmp_path: Path) -> None:
    rows = [*study_rows(GOOD), *exposure_rows(GOOD, 0.5), *on_frames_rows(GOOD, "motion-1", "turning by 1°", 40)]
    rows += [*on_frames_rows(GOOD, "loosened-0.4", "turned by 0.4°", 24), *precession_rows(GOOD, GOOD)]
    write_page(tmp_path / "serial.md", rows)
    text = (tmp_path / "serial.md").read_text(encoding="utf-8")
    assert all(row.quantity in text for row in rows)
    assert len({row.id for row in rows}) == len(rows)


def test_orientations_are_turned_by_as_much_as_asked() -> None:
    start = Rotation.random(300, random_state=np.random.default_rng(1)).as_matrix()
    text = json.dumps({"rotation": start.tolist(), "hall": "-P 2 2 3"})
    table = json.loads(turned_text(text, turn_deg=0.4))
    turns = Rotation.from_matrix(np.array(table["rotation"]) @ np.swapaxes(start, 1, 2)).as_rotvec(degrees=True)
    np.testing.assert_allclose(turns.std(axis=0), 0.4, rtol=0.15)
    assert table["hall"] == "-P 2 2 3"


def test_a_record_of_other_code_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "full.json"
    assert kept(path) is None
    write_json(path, Finished(summary=GOOD.summary, code="other"))
    assert kept(path) is None
    write_json(path, Finished(summary=GOOD.summary, code=code_digest()))
    assert kept(path) == Finished(summary=GOOD.summary, code=code_digest())


def test_the_limit_is_the_last_shell_in_which_intensities_stand_out() -> None:
    g = np.linspace(0.4, 2.0, 1601)
    assert information_limit(g, np.where(g < 1.45, 10.0, 1.0)) == pytest.approx(1.5)  # half of that shell is strong
    assert information_limit(g, np.where(g < 1.41, 10.0, 1.0)) == pytest.approx(1.4)
    assert information_limit(g, np.full(1601, 3.0)) == pytest.approx(2.0)
    gap = (g > 0.9) & (g <= 1.0)
    assert information_limit(g, np.where(gap, 0.0, 10.0)) == pytest.approx(0.9)  # what is beyond a dark shell is chance
    assert information_limit(g, np.zeros(1601)) is None
    assert limit_rows(Finished(summary={}), "study", "stills", peer=2.25)[0].met is False
