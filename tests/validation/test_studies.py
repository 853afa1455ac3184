"""edtwin validate: names, rows, what is shown."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from twin.files.errors import InputError
from validation import studies
from validation.rows import Row


def made_up(*, out: Path, quick: bool, page: Path | None) -> list[Row]:
    assert quick
    assert page == Path("pages/made_up.md")
    return [
        Row(id="a", quantity="one", value=1.0, unit="×", goal=">= 2", met=False, peer="other"),
        Row(id="b", quantity="two", value=2.0, unit="", goal=">= 2", met=True),
        Row(id="c", quantity="three", value=3.0, unit=""),
    ]


def test_a_study_shows_what_it_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(studies, "STUDIES", {"made_up": f"{__name__}:made_up"})
    monkeypatch.setattr(studies, "import_module", lambda name: SimpleNamespace(made_up=made_up))
    lines: list[str] = []
    rows = studies.run_studies([], out=tmp_path, quick=True, pages=Path("pages"), show=lines.append)
    assert len(rows) == 3
    assert "1 of 2 goals met" in lines[0]
    assert lines[1:] == ["  not met: one: 1 ×, goal >= 2 (other)"]


def test_an_unknown_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'nonsense' is not a study"):
        studies.run_studies(["nonsense"], out=tmp_path, quick=True, pages=None)
