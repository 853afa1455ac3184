"""Records of runs, and the rows that are made of them."""

from __future__ import annotations

import pytest

from validation.mountings.record import Record, read_records, write_record
from validation.mountings.run import NULL, RANDOM, SEEDS_FROM, jobs_of, run_mountings
from validation.mountings.tables import mounting_rows


def _record(scenario="ito-01", seed=1001, *, r=(6.0, 8.0, 7.0, 4.0), mean=(0.01, 0.001), pull=1.0, occupancy=None):
    def block(value, distance, su):
        found = {"r_obs_percent": value, "mean_distance_angstrom": distance, "thickness_nm": 10.0}
        found["pulls"] = {"parameters": {"O1.x": {"deviation": pull * su, "uncertainty": su}}}
        if occupancy is not None:
            found["occupancy_pulls"] = {"parameters": {"Ti1.occupancy": {"deviation": occupancy, "uncertainty": su}}}
        return found

    summary = {
        "data": {"r_int_percent": 7.0, "completeness_percent": 90.0, "redundancy": 5.0},
        "orientation": {"rms_error_deg": 0.02},
        "solution": {"space_group_correct": True, "max_distance_angstrom": 0.02},
        "kinematical": {
            "averaged": block(r[0], mean[0], 0.02),
            "non_averaged": block(r[1], mean[0], 0.02),
            "frame_based": block(r[2], mean[0], 0.02),
        },
        "dynamical": block(r[3], mean[1], 0.01),
    }
    return Record(scenario=scenario, seed=seed, code="x", exit_code=0, complaint="", cpu_s=1.0, summary=summary)


def _rows(records):
    return {row.id: row for row in mounting_rows(records)}


def test_records_come_back_as_written(tmp_path):
    first, second = _record(seed=1002), _record(seed=1001)
    for record in (first, second):
        write_record(tmp_path, record)
    assert read_records(tmp_path) == (second, first)
    assert read_records(tmp_path / "nowhere") == ()


def test_what_has_a_record_is_not_run_again(tmp_path):
    job = jobs_of(("ito-01",), count=1)
    write_record(tmp_path, _record(seed=SEEDS_FROM))
    assert run_mountings(job, folder=tmp_path, show=pytest.fail) == (_record(seed=SEEDS_FROM),)


def test_order_of_table_3_and_pairs():
    rows = _rows([_record(), _record(seed=1002, r=(6.0, 6.5, 7.0, 4.0), mean=(0.01, 0.02))])
    assert rows["mount-order"].value == 50.0
    assert rows["mount-order"].met is False
    assert rows["mount-pairs"].value == 50.0
    assert rows["mount-gap"].value == 3.0
    assert rows["mount-gap"].met is True


def test_pulls_are_pooled_and_judged_on_both_sides():
    assert _rows([_record(pull=1.2)])["mount-ito-01-pulls-dynamical"].met is True
    assert _rows([_record(pull=2.0)])["mount-ito-01-pulls-dynamical"].met is False
    assert _rows([_record(pull=0.5)])["mount-ito-01-pulls-dynamical"].met is False


def test_a_run_that_gave_up_counts_as_not_solved():
    lost = Record(scenario="ito-01", seed=1002, code="x", exit_code=3, complaint="no lattice", cpu_s=1.0, summary=None)
    row = _rows([_record(), lost])["mount-ito-01-group"]
    assert (row.value, row.met, row.n) == (50.0, False, 2)
    assert "no lattice" in row.note


def test_occupancies_random_model_and_null():
    mixed = _record("mgti2o5", occupancy=0.02)
    random = _record(RANDOM, r=(6.5, 8.0, 7.0, 6.0))
    null = _record(NULL, r=(2.0, 2.0, 1.5, 1.4))
    rows = _rows([mixed, random, null])
    assert rows["mount-occupancies"].met is True
    assert rows["mount-occupancy-su"].value == pytest.approx(0.5)
    assert rows["mount-random"].value == pytest.approx(4.0)
    assert rows["mount-null-1001"].met is True
    assert _rows([_record("mgti2o5", occupancy=0.05)])["mount-occupancies"].met is False
