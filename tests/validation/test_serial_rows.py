"""Rows of the serial study from summaries; what is missing is not met; records of other code are not used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from twin.files.json import write_json
from validation.command import Ended
from validation.mountings import run as mountings
from validation.serial import run, runs
from validation.serial.limit import information_limit
from validation.serial.loosened import turned_text
from validation.serial.page import write_page
from validation.serial.run import exposure_rows, limit_rows, on_frames_rows, precession_rows, study_rows
from validation.serial.runs import Finished, keep, kept

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
    met = {row.id: row.met for row in study_rows([GOOD])}
    assert (met["study-completeness"], met["study-redundancy"], met["study-max"], met["study-right"]) == (True,) * 4
    assert met["study-r-int"] is None  # nothing is asked of it
    for redundancy in (9.0, 23.0):
        assert {r.id: r.met for r in study_rows([GOOD, with_data(redundancy=redundancy)])}["study-redundancy"] is False


def test_what_a_run_did_not_come_to_is_not_met() -> None:
    nothing = Finished(summary={"data": None}, complaint="reduce gave up: no lattice")
    rows = {row.id: row for row in study_rows([GOOD, nothing])}
    assert rows["study-completeness"].value is None
    assert rows["study-completeness"].met is False
    weak = exposure_rows(nothing, 0.005)
    assert weak[0].note == "reduce gave up: no lattice"
    assert all(row.value is None for row in weak)


@pytest.mark.parametrize(("other", "met"), [(0.004, True), (0.009, False), (0.0019, False)])
def test_serial_and_precession_are_within_a_factor_of_two(other: float, met: bool) -> None:
    precession = Finished(summary={"kinematical": {"averaged": {"mean_distance_angstrom": other}}})
    assert precession_rows([GOOD], precession)[0].met is met


def test_every_row_finds_its_place_on_the_page(tmp_path: Path) -> None:
    write_page(tmp_path / "serial.md", study_rows([GOOD]))
    begun = (tmp_path / "serial.md").read_text(encoding="utf-8")
    assert "no rows on: Beside a precession series of the same particle; Weaker exposures; Particles" in begun
    rows = [*study_rows([GOOD]), *exposure_rows(GOOD, 0.5), *on_frames_rows(GOOD, "motion-1", "turning by 1°", 40)]
    rows += [*on_frames_rows(GOOD, "loosened-0.4", "turned by 0.4°", 24), *precession_rows([GOOD], GOOD)]
    write_page(tmp_path / "serial.md", rows)
    text = (tmp_path / "serial.md").read_text(encoding="utf-8")
    assert all(row.quantity in text for row in rows)
    assert len({row.id for row in rows}) == len(rows)
    assert "no rows on" not in text


def test_orientations_are_turned_by_as_much_as_asked() -> None:
    start = Rotation.random(300, random_state=np.random.default_rng(1)).as_matrix()
    text = json.dumps({"rotation": start.tolist(), "hall": "-P 2 2 3"})
    table = json.loads(turned_text(text, turn_deg=0.4))
    turns = Rotation.from_matrix(np.array(table["rotation"]) @ np.swapaxes(start, 1, 2)).as_rotvec(degrees=True)
    np.testing.assert_allclose(turns.std(axis=0), 0.4, rtol=0.15)
    assert table["hall"] == "-P 2 2 3"


def test_a_value_is_the_mean_of_both_series_and_each_must_reach_the_goal() -> None:
    rows = {row.id: row for row in study_rows([GOOD, with_data(redundancy=11.7)])}
    assert rows["study-redundancy"].value == pytest.approx(12.7)
    assert rows["study-redundancy"].note == "13.7, 11.7"
    assert (rows["study-redundancy"].met, rows["study-redundancy"].n) == (True, 2)


def test_a_record_of_other_code_or_other_settings_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "full.json"
    assert kept(path, recipe="ito-03") is None
    made = keep(path, GOOD, recipe="ito-03")
    assert kept(path, recipe="ito-03") == made
    assert made.summary == GOOD.summary
    assert kept(path, recipe="ito-03 frames=60") is None
    write_json(path, Finished(summary=GOOD.summary, code="other", recipe="ito-03"))
    assert kept(path, recipe="ito-03") is None
    path.write_text('{"summary": {')
    assert kept(path, recipe="ito-03") is None


class _Scenarios:
    """Stands for the command line: leaves a summary, and stops once it was asked for as often as it may."""

    def __init__(self, most: int) -> None:
        self.most, self.asked = most, []

    def __call__(self, *arguments: str, sets: Sequence[str] = (), log: Path | None = None) -> Ended:
        if len(self.asked) == self.most:
            raise KeyboardInterrupt
        self.asked.append((*arguments, *sets))
        path = Path(arguments[arguments.index("-o") + 1] if "-o" in arguments else arguments[1])
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / "summary.json", GOOD.summary)
        (path / "manifest.json").write_text("{}")
        write_json(path / "orientation.json", {"rotation": np.eye(3)[None].tolist()})
        return Ended(code=0, said="", cpu_s=1.0)


def test_the_study_goes_on_where_it_was_stopped_and_makes_one_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped every three commands; the whole series come from the mountings' folder, and stay there."""
    monkeypatch.setattr(runs, "shells_of", lambda path: (np.linspace(0.4, 2.0, 1601), np.full(1601, 3.0)))
    asked: list[tuple[str, ...]] = []
    page = tmp_path / "pages" / "serial.md"
    for _ in range(60):
        chain = _Scenarios(most=3)
        monkeypatch.setattr(runs, "edtwin", chain)
        monkeypatch.setattr(mountings, "edtwin", chain)
        try:
            rows = run.run_serial(out=tmp_path, quick=False, page=page)
            break
        except KeyboardInterrupt:
            asked += chain.asked
    asked += chain.asked
    assert all(row.quantity in page.read_text(encoding="utf-8") for row in rows)
    weak = [words for words in asked if any("exposure_s=" in word for word in words)]
    assert len(weak) == len(run.EXPOSURES_S)  # what was finished was not made again
    assert {"ito-03-1001", "ito-03-1002"} <= {p.name for p in (tmp_path / "mountings" / "runs").iterdir()}
    assert [p.name for p in (tmp_path / "serial").iterdir() if p.is_dir()] == []
    again = _Scenarios(most=0)
    monkeypatch.setattr(runs, "edtwin", again)
    monkeypatch.setattr(mountings, "edtwin", again)
    assert run.run_serial(out=tmp_path, quick=False) == rows


def test_the_limit_is_the_last_shell_in_which_intensities_stand_out() -> None:
    g = np.linspace(0.4, 2.0, 1601)
    assert information_limit(g, np.where(g < 1.45, 10.0, 1.0)) == pytest.approx(1.5)  # half of that shell is strong
    assert information_limit(g, np.where(g < 1.41, 10.0, 1.0)) == pytest.approx(1.4)
    assert information_limit(g, np.full(1601, 3.0)) == pytest.approx(2.0)
    gap = (g > 0.9) & (g <= 1.0)
    assert information_limit(g, np.where(gap, 0.0, 10.0)) == pytest.approx(0.9)  # what is beyond a dark shell is chance
    assert information_limit(g, np.zeros(1601)) is None
    assert limit_rows([Finished(summary={})], "study", "stills", peer=2.25)[0].met is False
