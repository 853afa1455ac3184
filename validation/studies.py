"""The studies that ``edtwin validate`` knows; each writes NAME.json and can write docs/validation/NAME.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from twin.files.errors import InputError
from validation.rows import Row

Study = Callable[..., list[Row]]
STUDIES = {  # name: module and function(out=, quick=, page=)
    "engines": "validation.engines.run:run_engines",
    "reduction": "validation.reduction.run:run_reduction",
    "mountings": "validation.mountings.page:run_study",
    "refinement": "validation.refinement.run:run_refinement",
    "serial": "validation.serial.run:run_serial",
    "solution": "validation.solution.run:run_solution",
}


def run_studies(
    names: Sequence[str], *, out: Path, quick: bool, pages: Path | None, show: Callable[[str], None] = print
) -> list[Row]:
    """Run the named studies (all when empty) and show what was met; ``pages``: folder for the Markdown pages."""
    unknown = [name for name in names if name not in STUDIES]
    if unknown:
        raise InputError(f"edtwin validate: '{unknown[0]}' is not a study; there are: {', '.join(STUDIES)}")
    rows: list[Row] = []
    for name in names or list(STUDIES):
        module, function = STUDIES[name].split(":")
        study: Study = getattr(import_module(module), function)
        found = study(out=out, quick=quick, page=None if pages is None else pages / f"{name}.md")
        missed = [row for row in found if row.met is False]
        goals = sum(row.met is not None for row in found)
        show(f"{name}: {len(found)} rows in {out / name}.json, {goals - len(missed)} of {goals} goals met")
        for row in missed:
            value = "nothing" if row.value is None else f"{row.value:.4g} {row.unit}".strip()
            show(f"  not met: {row.quantity}: {value}, goal {row.goal}" + (f" ({row.peer})" if row.peer else ""))
        rows += found
    return rows
