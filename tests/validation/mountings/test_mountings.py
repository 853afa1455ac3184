"""Records of runs, how a study goes on from them, and the rows that are made of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from twin.files.errors import InputError
from validation.command import Ended
from validation.mountings import run
from validation.mountings.jobs import NULL, RANDOM, SEEDS_FROM, SERIAL, STUDY_ROWS, jobs_of
from validation.mountings.page import page_text, run_study, write_study
from validation.mountings.record import REFINED, SOLVED, Record, code_digests, read_records, write_record
from validation.mountings.run import run_mountings
from validation.mountings.special import random_rows
from validation.mountings.tables import mounting_rows, state_table


def _summary(*, r=(6.0, 8.0, 7.0, 4.0), mean=(0.01, 0.001), pull=1.0, occupancy=None):
    def block(value, distance, su):
        found = {"r_obs_percent": value, "mean_distance_angstrom": distance, "thickness_nm": 10.0}
        found["pulls"] = {"parameters": {"O1.x": {"deviation": pull * su, "uncertainty": su}}}
        if occupancy is not None:
            found["occupancy_pulls"] = {"parameters": {"Ti1.occupancy": {"deviation": occupancy, "uncertainty": su}}}
        return found

    return {
        "data": {"r_int_percent": 7.0, "completeness_percent": 90.0, "redundancy": 5.0},
        "orientation": {"rms_error_deg": 0.02},
        "solution": {
            "space_group_correct": True, "max_distance_angstrom": 0.02, "missing_atoms": 0, "spurious_atoms": 0,
            "verdict": "solved in I a -3",
        },
        "kinematical": {
            "averaged": block(r[0], mean[0], 0.02),
            "non_averaged": block(r[1], mean[0], 0.02),
            "frame_based": block(r[2], mean[0], 0.02),
        },
        "dynamical": block(r[3], mean[1], 0.01),
    }  # fmt: skip


def _record(scenario="ito-01", seed=1001, **figures):
    return Record(
        scenario=scenario, seed=seed, through=REFINED, code=dict(code_digests()), exit_code=0, complaint="", cpu_s=1.0,
        summary=_summary(**figures),
    )  # fmt: skip


def _rows(records):
    return {row.id: row for row in mounting_rows(records)}


class _Chain:
    """Stands for the command line: notes what was asked, and leaves a manifest and a summary in the run folder."""

    def __init__(self, codes=None):
        self.asked = []
        self.codes = codes or {}
        self.solution, self.model = None, b""  # a file that 'solve' writes

    def __call__(self, *arguments, log, sets=()):
        self.asked.append((arguments[0], *sets))
        if self.solution is not None and arguments[0] == "solve":
            self.solution.write_bytes(self.model)
        if arguments[0] == "solve":
            path = log.with_suffix("")
            path.mkdir(exist_ok=True)
            (path / "manifest.json").write_text("{}")
            whole = _summary()
            (path / "summary.json").write_text(json.dumps({k: whole[k] for k in ("data", "orientation", "solution")}))
        if arguments[0] == "refine":
            (log.with_suffix("") / "summary.json").write_text(json.dumps(_summary()))
        code = self.codes.get(arguments[0], 0)
        if code == 2:
            raise InputError("the folder is in use")
        return Ended(code=code, said="no lattice" if code else "", cpu_s=2.0)

    @property
    def commands(self):
        return [a[0] for a in self.asked]


@pytest.fixture
def chain(monkeypatch):
    def use(codes=None):
        made = _Chain(codes)
        monkeypatch.setattr(run, "edtwin", made)
        return made

    return use


def test_records_come_back_as_written(tmp_path):
    first, second = _record(seed=1002), _record(seed=1001)
    for record in (first, second):
        write_record(tmp_path, record)
    assert read_records(tmp_path) == (second, first)
    assert read_records(tmp_path / "nowhere") == ()


def test_the_study_has_every_row_of_the_tables_seed_by_seed():
    jobs = jobs_of(STUDY_ROWS, count=20)
    count = {name: sum(j.name == name for j in jobs) for name in STUDY_ROWS}
    assert {name for name, n in count.items() if n != 20} == {NULL}
    assert len([n for n in STUDY_ROWS if n.startswith("brookite")]) == 6
    assert {j.name for j in jobs[: len(STUDY_ROWS)]} == set(STUDY_ROWS)
    assert {j.seed for j in jobs[: len(STUDY_ROWS)]} == {SEEDS_FROM}
    assert {j.name for j in jobs if not j.refined} == {n for n in STUDY_ROWS if n[-2:] in ("it", "ua", "03", "04")}


def test_what_has_a_record_is_not_run_again(tmp_path, chain):
    asked = chain()
    write_record(tmp_path, _record(seed=SEEDS_FROM))
    assert run_mountings(jobs_of(("ito-01",), count=1), folder=tmp_path, show=str) == (_record(seed=SEEDS_FROM),)
    assert asked.asked == []


def test_a_run_stops_after_its_solution_and_goes_on_from_there(tmp_path, chain):
    asked = chain()
    jobs = jobs_of(("ito-01",), count=1)
    (solved,) = run_mountings(jobs, folder=tmp_path, through=SOLVED, show=str)
    assert (solved.through, solved.finished, solved.complete) == (SOLVED, False, False)
    assert "refinement" not in solved.code
    (refined,) = run_mountings(jobs, folder=tmp_path, show=str)
    assert (refined.through, refined.finished, refined.complete) == (REFINED, True, True)
    assert asked.commands == ["solve", "report", "refine", "report"]
    assert refined.cpu_s == 8.0


def test_a_second_refinement_has_a_record_of_its_own(tmp_path, chain):
    asked = chain()
    records = run_mountings(jobs_of(("mgti2o5",), count=1), folder=tmp_path, show=str)
    assert [r.scenario for r in records] == ["mgti2o5", RANDOM]
    assert ("refine", "refinement.occupancies=fixed") in asked.asked


def test_rows_of_issue_5_are_not_refined(tmp_path, chain):
    asked = chain()
    (record,) = run_mountings(jobs_of(("brookite-ua",), count=1), folder=tmp_path, show=str)
    assert record.through == SOLVED
    assert "refine" not in asked.commands


def _solved_by_another_solver(folder, chain, *, differs):
    """A run that is finished, and the command line afterwards, whose solution is the same or is not."""
    chain()
    run_mountings(jobs_of(("mgti2o5",), count=1), folder=folder, show=str)
    path = folder / "runs" / f"mgti2o5-{SEEDS_FROM}"
    (path / "frames.nxs").write_bytes(b"frames")
    (path / "solution.cif").write_bytes(b"a model")
    for record in read_records(folder):
        write_record(folder, replace(record, code={**record.code, "solution": "of yesterday"}))
    asked = chain()
    asked.solution = path / "solution.cif"
    asked.model = b"another one" if differs else b"a model"
    run_mountings(jobs_of(("mgti2o5",), count=1), folder=folder, show=str)
    return asked


def test_a_record_holds_when_the_solver_of_now_gives_the_same_model(tmp_path, chain):
    asked = _solved_by_another_solver(tmp_path, chain, differs=False)
    assert asked.commands == ["solve", "report"]
    records = read_records(tmp_path)
    assert [r.scenario for r in records] == ["mgti2o5", RANDOM]
    assert all(r.finished and r.code == code_digests() for r in records)


def test_a_record_is_made_anew_when_the_solver_of_now_gives_another_model(tmp_path, chain):
    asked = _solved_by_another_solver(tmp_path, chain, differs=True)
    assert asked.commands == ["solve", "solve", "report", "refine", "report", "refine", "report"]
    assert all(r.finished and r.code == code_digests() for r in read_records(tmp_path))


def test_records_of_other_frames_or_without_frames_are_left_alone(tmp_path, chain):
    asked = chain()
    for seed, part in ((SEEDS_FROM, "frames"), (SEEDS_FROM + 1, "solution")):
        write_record(tmp_path, replace(_record(seed=seed), code={**code_digests(), part: "of yesterday"}))
    run_mountings(jobs_of(("ito-01",), count=2), folder=tmp_path, show=str)
    assert asked.asked == []


def test_what_gave_up_is_a_result_and_is_not_refined(tmp_path, chain):
    asked = chain({"solve": 3})
    (record,) = run_mountings(jobs_of(("ito-01",), count=1), folder=tmp_path, show=str)
    assert (record.exit_code, record.complaint, record.complete) == (3, "no lattice", True)
    assert "refine" not in asked.commands


def test_a_folder_in_use_is_no_result_and_the_others_go_on(tmp_path, chain):
    asked = chain({"solve": 2})
    with pytest.raises(InputError, match=r"2 of 2 mountings could not be run.*in use"):
        run_mountings(jobs_of(("ito-01", "anatase"), count=1), folder=tmp_path, show=str)
    assert asked.commands == ["solve", "solve"]
    assert read_records(tmp_path) == ()


def test_frames_go_only_where_the_disk_is_short(tmp_path, chain, monkeypatch):
    chain()
    jobs = jobs_of(("ito-01",), count=2)
    frames = [tmp_path / "runs" / f"ito-01-{seed}" / "frames.nxs" for seed in (SEEDS_FROM, SEEDS_FROM + 1)]
    for path in frames:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"frames")
    run_mountings(jobs[:1], folder=tmp_path, show=str)
    assert frames[0].is_file()
    monkeypatch.setattr(run, "KEEP_FREE_BYTES", 1 << 60)
    run_mountings(jobs[1:], folder=tmp_path, show=str)
    assert not frames[1].is_file()
    assert frames[1].with_name("summary.json").is_file()


def test_records_of_another_state_of_the_code_are_counted():
    now = _record()
    old = replace(_record(seed=1002), code={**code_digests(), "solution": "abc"})
    lines = {line.split(" | ")[0].strip("| "): line for line in state_table([now, old]).splitlines()}
    assert lines["frames"].endswith("| 2 | " + code_digests()["frames"] + " | 2 |")
    assert "abc" in lines["solution"]
    assert lines["solution"].endswith("| 1 |")


def test_order_of_table_3_and_pairs():
    rows = _rows([_record(), _record(seed=1002, r=(6.0, 6.5, 7.0, 4.0), mean=(0.01, 0.02))])
    assert rows["mount-order"].value == 50.0
    assert rows["mount-order"].met is False
    assert rows["mount-pairs"].value == rows["mount-ito-01-nearer"].value == 50.0
    assert rows["mount-gap"].value == 3.0
    assert rows["mount-gap"].met is True


def test_pulls_are_pooled_and_judged_on_both_sides():
    assert _rows([_record(pull=1.2)])["mount-ito-01-pulls-dynamical"].met is True
    assert _rows([_record(pull=2.0)])["mount-ito-01-pulls-dynamical"].met is False
    assert _rows([_record(pull=0.5)])["mount-ito-01-pulls-dynamical"].met is False


def test_a_run_that_gave_up_counts_as_not_solved():
    lost = replace(_record(seed=1002), through=SOLVED, exit_code=3, complaint="no lattice", summary=None)
    rows = _rows([_record(), lost])
    assert (rows["mount-ito-01-group"].value, rows["mount-ito-01-group"].met) == (50.0, False)
    assert rows["mount-ito-01-group"].n == 2
    assert "no lattice" in rows["mount-ito-01-group"].note
    assert rows["mount-ito-01-r-dynamical"].n == 1


def test_the_worst_deviation_before_refinement_decides_and_a_wrong_claim_shows():
    far, wrong = _record(seed=1002), _record(seed=1003)
    far.summary["solution"]["max_distance_angstrom"] = 0.12
    wrong.summary["solution"]["missing_atoms"] = 1
    rows = _rows([_record(), far, wrong])
    assert (rows["mount-ito-01-before"].value, rows["mount-ito-01-before"].met) == (0.12, False)
    assert rows["mount-ito-01-before-median"].value == 0.02
    assert (rows["mount-ito-01-false"].value, rows["mount-ito-01-false"].met) == (1.0, False)


def test_occupancies_and_null():
    rows = _rows([_record("mgti2o5", occupancy=0.02), _record(NULL, r=(2.0, 2.0, 1.5, 1.4))])
    assert rows["mount-occupancies-dynamical"].met is True
    assert rows["mount-occupancy-su"].value == pytest.approx(0.5)
    assert rows["mount-null-1001"].met is True
    assert _rows([_record("mgti2o5", occupancy=0.05)])["mount-occupancies-dynamical"].met is False


def test_a_kinematical_loss_that_is_noise_gives_no_ratio():
    """Losses that scatter about nothing would give any ratio; the goal is judged with their upper limit."""

    def losses(lost):
        return random_rows(lost, relative=np.array([1.0, 1.3]))

    rng = np.random.default_rng(3)
    noise = np.column_stack([0.05 * rng.standard_normal(20), 0.8 + 0.05 * rng.standard_normal(20)])
    row = {r.id: r for r in losses(noise)}["mount-random"]
    assert row.value is None
    assert row.met is True
    clear = np.add(noise, [0.2, 0.0])
    row = {r.id: r for r in losses(clear)}["mount-random"]
    assert row.value == pytest.approx(clear[:, 1].mean() / clear[:, 0].mean())
    assert row.met is True
    assert {r.id: r for r in losses(np.add(noise, [0.5, 0.0]))}["mount-random"].met is False
    assert {r.id: r for r in losses(np.add(noise, [0.0, -0.8]))}["mount-random"].met is False


def test_the_page_has_a_line_for_each_row_and_says_how_many_stand_behind_it(tmp_path):
    records = [_record(), _record("brookite-cnrs-01", 1001), replace(_record("brookite-ua"), through=SOLVED)]
    rows = write_study(records, out=tmp_path, page=tmp_path / "docs" / "mountings.md")
    text = (tmp_path / "docs" / "mountings.md").read_text()
    assert text == page_text(records, rows)
    assert "| brookite-ua | 1 | 100 | 100 | 100 | 0 | 0.0200 | 0.0200 | 7.0 (10.7) | 0.020 |" in text
    assert "| brookite-cnrs-01 | 1 | 6.00 (17.03) |" in text
    assert all(text.count(f"| {row.quantity} |") == 1 for row in rows)


def test_a_study_that_is_cut_off_leaves_the_page_of_what_is_there(tmp_path, chain):
    chain({"solve": 2})
    write_record(tmp_path / "mountings", _record("brookite-ua"))
    with pytest.raises(InputError):
        run_study(out=tmp_path, quick=True, page=tmp_path / "mountings.md")
    assert "| brookite-ua | 1 |" in (tmp_path / "mountings.md").read_text()
    chain()
    rows = run_study(out=tmp_path, quick=True, page=tmp_path / "mountings.md")
    assert "mount-anatase-group" in {row.id for row in rows}
    assert "| anatase | 1 |" in (tmp_path / "mountings.md").read_text()


def test_stills_are_judged_by_how_many_lie_right():
    """One still with another of the lattice's orientations would decide a root mean square."""
    stills = {"rms_error_deg": 4.1, "median_error_deg": 0.016, "right_frames_percent": 99.7}
    record = _record(scenario=SERIAL)
    rows = _rows([replace(record, summary={**record.summary, "orientation": stills})])
    assert rows[f"mount-{SERIAL}-right_frames_percent"].met is True
    assert rows[f"mount-{SERIAL}-median_error_deg"].value == 0.016
    assert f"mount-{SERIAL}-rms_error_deg" not in rows
    few = replace(record, summary={**record.summary, "orientation": {**stills, "right_frames_percent": 79.0}})
    assert _rows([few])[f"mount-{SERIAL}-right_frames_percent"].met is False
    assert _rows([_record()])["mount-ito-01-rms_error_deg"].met is True  # a tilt series keeps its goal
