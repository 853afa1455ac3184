"""The validation of the engines: problems, rows, and the peers when their interpreters are named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from validation.engines.agreement import relative_rms, with_formula_of
from validation.engines.limits import limit_rows
from validation.engines.page import write_page
from validation.engines.peers import PEERS, Peer, PeerError, interpreter, reason_to_skip
from validation.engines.problem import QUARTZ, beam_lists, frame, physical_intensity, solve, to_beam, write_problem
from validation.engines.timing import interleave, median_ratio
from validation.rows import Row, at_least, at_most, markdown_table, write_rows


def test_limits_meet_their_goals() -> None:
    rows = limit_rows()
    assert {row.id for row in rows} >= {"limit-unitarity", "limit-derivatives", "limit-blackman", "limit-hand"}
    assert [row.quantity for row in rows if not row.met] == []


def test_directions_are_brought_to_the_axis() -> None:
    directions = frame(QUARTZ, thickness_angstrom=10.0, azimuths=5).directions
    turned = np.einsum("sij,sj->si", to_beam(directions), directions)
    np.testing.assert_allclose(turned, np.broadcast_to([0.0, 0.0, 1.0], turned.shape), atol=1e-12)


def test_our_formula_is_that_of_abtem() -> None:
    """The per-azimuth propagation with explicit surface factors equals the frame, up to flux against amplitude."""
    problem = frame(QUARTZ, thickness_angstrom=300.0, azimuths=3)
    lists = beam_lists(problem)
    whole = physical_intensity(problem, solve(problem), lists, flux=True)
    single = with_formula_of("abTEM", problem, lists)
    assert relative_rms(single, whole) < 1e-9
    other = with_formula_of("diffBloch", problem, lists)
    assert 1e-6 < relative_rms(other, whole) < 1e-2


def test_problem_file_holds_every_difference_of_beams(tmp_path: Path) -> None:
    problem = frame(QUARTZ, thickness_angstrom=300.0, azimuths=2)
    lists = write_problem(tmp_path / "p.npz", problem)
    with np.load(tmp_path / "p.npz") as file:
        known = {tuple(h) for h in file["hkl"].tolist()}
        assert list(np.diff(file["offsets"])) == [len(beams) for beams in lists]
    for beams in lists:
        difference = (beams[:, None] - beams[None]).reshape(-1, 3)
        assert {tuple(h) for h in difference.tolist()} <= known


@pytest.mark.parametrize("name", sorted(PEERS))
def test_peer_agrees(name: str, tmp_path: Path) -> None:
    if interpreter(name) is None:
        pytest.skip(reason_to_skip(name))
    problem = frame(QUARTZ, thickness_angstrom=300.0, azimuths=2)
    lists = write_problem(tmp_path / "p.npz", problem)
    with Peer.start(name) as peer:
        work = "matrix_64" if name == "diffBloch" else "eig"
        assert peer.run(problem=tmp_path / "p.npz", work=work, result=tmp_path / "r.npz") > 0.0
    with np.load(tmp_path / "r.npz") as file:
        theirs = np.asarray(file["intensity"], dtype=np.float64)
    beams = np.any(np.concatenate(lists) != 0, axis=1)
    if name == "abTEM":
        ours = physical_intensity(problem, solve(problem), lists, flux=False)
        assert relative_rms(ours[:, beams], theirs[:, beams]) < 1e-6
    else:
        ours = with_formula_of(name, problem, lists)
        assert relative_rms(ours[:, beams], theirs[:, beams]) < 1e-5


def test_a_peer_that_is_not_there_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PEERS["abTEM"][0], "/nowhere/python")
    with pytest.raises(PeerError, match="EDTWIN_PEER_ABTEM"):
        Peer.start("abTEM")


def test_rounds_are_paired() -> None:
    calls: list[str] = []

    def timed(name: str, value: float) -> float:
        calls.append(name)
        return value

    found = interleave({"a": lambda: timed("a", 4.0), "b": lambda: timed("b", 2.0)}, repeats=2)
    assert calls == ["a", "b", "a", "b"]
    assert median_ratio(found["a"], found["b"]) == 2.0


def test_rows_and_page(tmp_path: Path) -> None:
    text, met = at_least(3.0, 5.0)
    low, fine = at_most(3.0, 5.0)
    rows = [
        Row(id="limit-a", quantity="a", value=3.0, unit="×", goal=text, met=met),
        Row(id="growth-b", quantity="b", value=None, unit="", goal=low, met=fine, note="why"),
    ]
    write_rows(tmp_path / "rows.json", rows)
    read = json.loads((tmp_path / "rows.json").read_text())
    assert [r["met"] for r in read] == [False, True]
    assert "**no**" in markdown_table(rows)
    write_page(tmp_path / "page.md", rows, figure=True)
    page = (tmp_path / "page.md").read_text()
    assert "## Limits" in page
    assert "engines_growth.png" in page
    assert "Workers" not in page
