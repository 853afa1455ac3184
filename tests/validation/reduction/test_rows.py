"""Rows: no goal is lost by a failure, no pull is left out, parts are made again when their code has changed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from validation.reduction import parts, study_rows
from validation.reduction.conditions import HARD, IDEAL
from validation.reduction.intensity_rows import intensity_rows
from validation.reduction.measure import intensity_errors
from validation.reduction.page import write_page
from validation.rows import Row

ROW = Row(id="ideal-x", quantity="ideal: x", value=1.0, unit="%")


def _known(n: int = 400):
    rng = np.random.default_rng(4)
    counts = rng.exponential(1000.0, size=n) + 200.0
    hkl = np.column_stack([np.arange(n), np.ones(n, int), np.zeros(n, int)])
    return SimpleNamespace(hkl=hkl, f2=counts / 7.0, counts=counts, variance=counts + 30.0), rng


def test_estimates_at_the_limit_have_unit_pulls_and_its_r() -> None:
    known, rng = _known(4000)
    noisy = known.counts + np.sqrt(known.variance) * rng.normal(size=len(known.counts))
    sigma = 3.0 * np.sqrt(known.variance)
    found = intensity_errors(known=known, hkl=known.hkl, intensity=3.0 * noisy, sigma=sigma, per_f2=False)
    assert abs(found.spread - 1.0) < 0.05
    assert abs(found.mean) < 0.05
    assert abs(found.r_percent / found.limit_percent - 1.0) < 0.05


def test_one_wild_pull_counts() -> None:
    known, _ = _known()
    wild = known.counts.copy()
    wild[7] += 60.0 * np.sqrt(known.variance[7])
    found = intensity_errors(known=known, hkl=known.hkl, intensity=wild, sigma=np.sqrt(known.variance), per_f2=False)
    assert found.largest > 50.0
    assert found.spread > 2.5


def test_a_series_that_is_not_reduced_keeps_its_goals() -> None:
    for conditions in (IDEAL, HARD):
        rows = intensity_rows(conditions.name, SimpleNamespace(), None, None)
        goals = [row for row in rows if row.goal]
        assert len(goals) >= 4
        assert all(row.met is False and row.value is None for row in goals)


def test_a_row_of_the_study_that_fails_keeps_its_goals(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(study_rows, "_steps", lambda name, folder: "edtwin reduce: no lattice")
    rows = study_rows.study_rows("anatase", "PEDT", tmp_path)
    goals = [row for row in rows if row.goal]
    assert len(goals) == 2
    assert all(row.met is False and row.note == "edtwin reduce: no lattice" for row in goals)


def test_parts_are_kept_until_their_code_changes(monkeypatch, tmp_path) -> None:
    made: list[int] = []

    def make() -> list[Row]:
        made.append(1)
        return [replace(ROW, value=float(len(made)))]

    first = parts.part_rows(tmp_path, "ideal", parts.KNOWN, make)
    assert parts.part_rows(tmp_path, "ideal", parts.KNOWN, make) == first
    assert parts.part_rows(tmp_path, "ideal", parts.REAL, make)[0].value == 2.0
    assert len({parts.digest(sources) for sources in (parts.KNOWN, parts.DISTORTED, parts.STUDY, parts.REAL)}) == 4


def test_the_page_lists_what_is_missed(tmp_path) -> None:
    missed = replace(ROW, goal=">= 2", met=False, note="why")
    write_page(tmp_path / "page.md", [missed, replace(ROW, id="hard-y", quantity="hard: y", goal="<= 2", met=True)])
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "1 of 2 goals met" in text
    assert "missed: ideal: x: 1 %, goal >= 2 (why)" in text
