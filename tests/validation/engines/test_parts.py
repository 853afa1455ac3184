"""The parts of the study: their order, the methods that are compared, workers, and what far beams are judged by."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from twin.physics.potential import potential_matrix
from validation.engines.far import _r1
from validation.engines.limits import reciprocity, thin_limit
from validation.engines.methods import krylov, ours
from validation.engines.page import SECTIONS
from validation.engines.problem import BROOKITE, frame, solve
from validation.engines.run import PARTS, PEERS, STILL, TIMED, run_engines
from validation.rows import Row


def test_three_ways_to_the_same_amplitudes() -> None:
    problem = frame(BROOKITE, thickness_angstrom=200.0, azimuths=3)
    result, nodes = solve(problem), np.array([50.0, 200.0])
    u = potential_matrix(problem.table, result.hkl)
    one, two = (ours(problem, result, u, nodes, method) for method in ("recurrence", "eigenvectors"))
    np.testing.assert_allclose(one, two, atol=1e-7)
    on = np.flatnonzero(result.active[:, 1])
    np.testing.assert_allclose(krylov(problem, result, u, nodes, 1), two[:, on, 1], atol=1e-7)


def test_single_scattering_is_the_limit_of_second_order() -> None:
    assert thin_limit(0.5) < thin_limit(1.0) < 1e-3
    assert thin_limit(1.0) / thin_limit(0.5) == pytest.approx(4.0, rel=0.05)


def test_source_and_detector_may_change_places() -> None:
    assert reciprocity(reflections=3) < 1e-9


def test_r1_counts_what_is_missing() -> None:
    reference = {(1, 0, 0): (4.0, True), (2, 0, 0): (1.0, True), (3, 0, 0): (9.0, False)}
    value, n = _r1({(1, 0, 0): (9.0, True)}, reference)
    assert n == 2
    assert value == pytest.approx(100.0 * (1.0 + 1.0) / 3.0)


def test_timed_parts_go_under_the_command_that_keeps_the_machine_still(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert set(TIMED) <= set(PARTS)
    asked: list[list[str]] = []

    def fake(command: list[str], *, check: bool) -> None:
        asked.append(command)
        name = command[command.index("--part") + 1]
        (tmp_path / f"engines-{name}.json").write_text("[]")

    kept = {name: (lambda folder, quick, figure: []) for name in PARTS}
    monkeypatch.setattr("validation.engines.run.PARTS", kept)
    monkeypatch.setattr("validation.engines.run.subprocess.run", fake)
    monkeypatch.setenv(STILL, "nice -n 5")
    assert run_engines(out=tmp_path, quick=True) == []
    assert [c[:3] for c in asked] == [["nice", "-n", "5"]] * len(TIMED)
    assert all("--quick" in c for c in asked)


def test_the_study_goes_on_where_it_was_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def part(name: str, most: int) -> list[Row]:
        if len(asked) == most:
            raise KeyboardInterrupt
        asked.append(name)
        return [Row(id=f"limit-{name}", quantity=name, value=1.0, unit="")]

    for most in (3, 100):
        parts = {name: (lambda folder, quick, figure, name=name, most=most: part(name, most)) for name in PARTS}
        monkeypatch.setattr("validation.engines.run.PARTS", parts)
        with suppress(KeyboardInterrupt):
            rows = run_engines(out=tmp_path, quick=True)
    assert asked == list(PARTS)  # each was made once
    assert [row.quantity for row in rows] == asked
    monkeypatch.setenv(f"{PEERS}NEW", "/usr/bin/python3")  # with another peer the rows may be others
    monkeypatch.setattr("validation.engines.run.PARTS", {name: (lambda folder, quick, figure: []) for name in PARTS})
    assert run_engines(out=tmp_path, quick=True) == []


def test_every_section_has_its_own_rows() -> None:
    prefixes = [p for _, prefix in SECTIONS for p in (prefix if isinstance(prefix, tuple) else (prefix,))]
    assert len(set(prefixes)) == len(prefixes)
    row = Row(id="limit-a", quantity="a", value=1.0, unit="")
    assert sum(row.id.startswith(p) for p in prefixes) == 1
