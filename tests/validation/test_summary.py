"""The contract of summary.json: every key, always, and JSON that any reader takes."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from validation.study import study_rows, study_table
from validation.summary import summarise
from validation.view import RunView

CONTRACT = {
    "scenario": None, "seed": None, "engine": None,
    "timings_s": ["simulate", "acquire", "reduce", "solve", "refine_kinematical", "refine_dynamical", "total"],
    "frames": ["count", "tilt_range_deg", "step_deg"],
    "data": ["completeness_percent", "redundancy", "r_int_percent", "averaged_all", "averaged_obs"],
    "cell": ["a_angstrom", "b_angstrom", "c_angstrom", "alpha_deg", "beta_deg", "gamma_deg", "max_length_error_percent",
             "max_ratio_error_percent", "max_angle_error_deg"],
    "orientation": ["rms_error_deg", "max_error_deg", "indexed_frames_percent"],
    "intensity": ["cc_with_truth", "r_with_truth_percent"],
    "solution": ["solved", "space_group", "space_group_correct", "missing_atoms", "spurious_atoms",
                 "max_distance_angstrom"],
    "kinematical": ["averaged", "non_averaged", "frame_based"],
    "dynamical": None,
}  # fmt: skip
BLOCK = {"reflections_all", "reflections_obs", "parameters", "r_obs_percent", "r_all_percent", "wr_all_percent",
         "gof_obs", "mean_distance_angstrom", "max_distance_angstrom"}  # fmt: skip


def _check_keys(summary):
    assert set(summary) == set(CONTRACT)
    for key, inner in CONTRACT.items():
        if inner is not None:
            assert set(inner) <= set(summary[key]), key
    json.dumps(summary, allow_nan=False)


def test_full_run_has_every_key_and_the_errors_that_were_put_in(fake_run):
    summary = summarise(fake_run)
    _check_keys(summary)
    assert set(summary["dynamical"]) >= BLOCK
    assert set(summary["kinematical"]["averaged"]) >= BLOCK
    assert summary["kinematical"]["non_averaged"] is None
    assert summary["dynamical"]["thickness_nm"] == pytest.approx(29.4)
    assert summary["cell"]["max_length_error_percent"] == pytest.approx(1.0, abs=1e-6)
    assert summary["cell"]["max_ratio_error_percent"] < 1e-6
    assert 0.01 < summary["orientation"]["rms_error_deg"] < 0.06
    assert summary["orientation"]["rms_error_deg"] <= summary["orientation"]["rms_absolute_deg"]
    assert summary["solution"]["space_group_correct"] is True
    assert summary["solution"]["missing_atoms"] == summary["solution"]["spurious_atoms"] == 0
    assert summary["dynamical"]["max_distance_angstrom"] == pytest.approx(0.009, abs=0.0025)
    assert summary["intensity"]["cc_with_truth"] > 0.99


def test_empty_run_has_every_key():
    _check_keys(summarise(RunView(scenario="nothing", seed=0, engine="bloch")))


def test_ratio_error_is_told_from_scale_error(fake_run_factory):
    """a* longer by 0.3 % means a shorter: ratios show 0.3 %, whatever the camera length does."""
    summary = summarise(fake_run_factory(ub_error=0.003, scale=1.02))
    assert summary["cell"]["max_ratio_error_percent"] == pytest.approx(0.299, abs=0.002)
    assert summary["cell"]["max_length_error_percent"] == pytest.approx(2.0, abs=1e-3)


def test_study_table_shows_both_columns(fake_run):
    summary = summarise(fake_run)
    rows = {(r.group, r.quantity): r for r in study_rows(summary=summary, study=fake_run.study)}
    r_obs = rows["Dynamical", "R(obs)"]
    assert r_obs.study == 6.63
    assert r_obs.ours == summary["dynamical"]["r_obs_percent"]
    assert rows["Dynamical", "wR(all)"].text(rows["Dynamical", "wR(all)"].study) == "–"
    console = Console(record=True, width=100, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(study_table(summary=summary, study=fake_run.study))
    text = console.export_text()
    assert "6.63" in text
    assert "Kinematical, averaged" in text
    assert study_rows(summary=summarise(RunView(scenario="x", seed=0, engine="e")), study=None) == ()
