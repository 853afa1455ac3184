"""Rows are kept for the code and the recipe that made them; what is damaged is made anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from validation.kept import ROOT, digest, files_of, kept_rows
from validation.rows import Row


def test_rows_are_kept_for_the_code_and_the_recipe_that_made_them(tmp_path: Path) -> None:
    path, made = tmp_path / "study" / "rows.json", []

    def make() -> list[Row]:
        made.append(len(made))
        return [Row(id=f"r-{len(made)}", quantity="q", value=1.5, unit="Å", met=True)]

    assert kept_rows(path, code="1", recipe="a", make=list) == []  # a peer that is not there
    assert not path.exists()
    assert [kept_rows(path, code="1", recipe="a", make=make)[0].id for _ in range(2)] == ["r-1", "r-1"]
    assert kept_rows(path, code="1", recipe="b", make=make)[0].id == "r-2"
    assert kept_rows(path, code="2", recipe="b", make=make)[0].id == "r-3"
    path.write_text("{ damaged")
    assert kept_rows(path, code="2", recipe="b", make=make)[0].id == "r-4"


def test_a_digest_is_over_folders_files_and_modules_that_must_be_there() -> None:
    assert files_of(("validation/kept", "validation/kept.py")) == [ROOT / "validation" / "kept.py"] * 2
    materials = files_of(("scenarios/library",), endings=(".toml",))
    assert materials == sorted(materials)
    assert len(materials) > 10
    assert digest(("validation/kept",)) != digest(("validation/rows",))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        files_of(("validation/nowhere",))
