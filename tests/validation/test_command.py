"""The command in a process of its own: what is a result, what is none, what is kept of what it said."""

from __future__ import annotations

from pathlib import Path

import pytest

from twin.files.errors import InputError
from validation import command
from validation.command import GAVE_UP, edtwin


def test_a_command_that_ends_well_says_nothing_and_counts_its_time(tmp_path: Path) -> None:
    ended = edtwin("show", "ito-01", sets=["seed=3"], log=tmp_path / "show.log")
    assert (ended.code, ended.said) == (0, "")
    assert 0.1 < ended.cpu_s < 60.0
    assert (tmp_path / "show.log").read_bytes() == b""


def test_bad_input_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"edtwin show nothing ended with 2: edtwin: .*neither a scenario"):
        edtwin("show", "nothing", log=tmp_path / "show.log")
    assert b"neither a scenario" in (tmp_path / "show.log").read_bytes()


@pytest.mark.parametrize("code", [4, 143, -9])
def test_a_machine_that_refused_is_no_result(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(command, "_run", lambda arguments, stderr: (code, 1.0))
    with pytest.raises(InputError, match=f"ended with {code}"):
        edtwin("run", "ito-01")


def test_a_stage_that_gave_up_is_a_result_and_an_interrupt_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_run", lambda arguments, stderr: (GAVE_UP, 1.0))
    assert edtwin("run", "ito-01").code == GAVE_UP
    monkeypatch.setattr(command, "_run", lambda arguments, stderr: (130, 1.0))
    with pytest.raises(KeyboardInterrupt):
        edtwin("run", "ito-01")
