"""What decides the rows of each part of the study: the code whose digest is kept with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from validation.kept import digest, kept_rows
from validation.rows import Row

REDUCTION = ("pipeline/reduction", "pipeline/types.py", "twin/physics")
FRAMES = (*REDUCTION, *(f"validation/reduction/{name}.py" for name in ("conditions", "frames", "information", "lens")))
KNOWN = (
    *FRAMES,
    "validation/peers/dials_results.py",
    *(f"validation/reduction/{name}.py" for name in ("bound", "dials", "intensity_rows")),
    *(f"validation/reduction/{name}.py" for name in ("known_rows", "measure", "row")),
)
DISTORTED = (*FRAMES, "validation/reduction/distortion_rows.py", "validation/lattice_match.py")
STUDY = (*REDUCTION, "twin", "scenarios/build.py", "scenarios/stages", "validation/reduction/study_rows.py")
REAL = (
    *REDUCTION,
    "pipeline/io/series",
    *(f"validation/reduction/{name}.py" for name in ("real", "real_cell", "real_cinchonine", "real_sources")),
    *(f"validation/reduction/{name}.py" for name in ("real_spots", "wedges")),
)


def part_rows(folder: Path, name: str, sources: tuple[str, ...], make: Callable[[], list[Row]]) -> list[Row]:
    """The rows kept in ``folder``/NAME.json when they are of the same code, else those of ``make``, kept there."""
    return kept_rows(folder / f"{name}.json", code=digest(sources), make=make)
