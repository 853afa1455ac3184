"""All rows of `edtwin validate engines`, part by part."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from threadpoolctl import threadpool_limits

from twin.files.errors import InputError
from validation.engines.agreement import peer_rows, truncation_rows
from validation.engines.far import far_rows
from validation.engines.limits import limit_rows
from validation.engines.methods import method_rows
from validation.engines.multislice import multislice_rows
from validation.engines.page import write_page
from validation.engines.scaling import scaling_rows
from validation.engines.timing import derivative_rows, frame_rows, wide_and_single_rows
from validation.engines.workers import worker_rows
from validation.kept import digest, kept_rows
from validation.rows import Row, write_rows

STILL = "EDTWIN_STILL"  # a command that is put before timed parts, such as one that holds other work back
_ASSEMBLED = "`python -m validation.engines --part …` for every part and `--assemble`, since the machine was shared,"
Part = Callable[[Path, bool, Path | None], list[Row]]  # folder for files, quick, figure
PARTS: Mapping[str, Part] = {
    "limits": lambda folder, quick, figure: limit_rows(),
    "peers": lambda folder, quick, figure: peer_rows(folder),
    "truncation": lambda folder, quick, figure: truncation_rows(quick=quick),
    "far": lambda folder, quick, figure: far_rows(quick=quick),
    "frames": lambda folder, quick, figure: frame_rows(folder, quick=quick),
    "singles": lambda folder, quick, figure: wide_and_single_rows(folder, quick=quick),
    "derivatives": lambda folder, quick, figure: derivative_rows(folder, repeats=2 if quick else 3),
    "growth": lambda folder, quick, figure: scaling_rows(figure, quick=quick),
    "methods": lambda folder, quick, figure: method_rows(quick=quick),
    "workers": lambda folder, quick, figure: worker_rows(quick=quick),
    "multislice": lambda folder, quick, figure: multislice_rows(folder, quick=quick),
}
SOURCES = (
    *("twin", "validation/peers", "validation/reference"),
    *(f"validation/engines/{name}" for name in ("agreement", "far", "limits", "methods", "multislice", "peers")),
    *(f"validation/engines/multislice_{name}" for name in ("abtem", "columns", "depth", "slab")),
    *(f"validation/engines/{name}" for name in ("problem", "scaling", "timing", "workers")),
)
PEERS = "EDTWIN_PEER_"  # variables that name their interpreters begin with it
TIMED = ("frames", "singles", "derivatives", "growth", "methods", "workers")


def run_engines(*, out: Path, quick: bool, page: Path | None = None) -> list[Row]:
    """Write ``out``/engines.json (and the page with its figure); returns the rows. Parts that the same code made with
    the same peers before are kept in ``out``/engines-kept."""
    still, rows = shlex.split(os.environ.get(STILL, "")), []
    peers = {name: value for name, value in os.environ.items() if name.startswith(PEERS)}
    for name in PARTS:

        def make(name: str = name) -> list[Row]:
            if still and name in TIMED:
                return _apart(still, name, out=out, quick=quick, page=page)
            return run_part(name, out=out, quick=quick, page=page)

        recipe = f"quick {quick} peers {sorted(peers.items())} figure {page is not None and name == 'growth'}"
        rows += kept_rows(out / "engines-kept" / f"{name}.json", code=digest(SOURCES), recipe=recipe, make=make)
    write_rows(out / "engines.json", rows)
    if page is not None:
        write_page(page, rows, figure=True)
    return rows


def assemble(*, out: Path, page: Path) -> list[Row]:
    """engines.json and the page from the parts that an interrupted run, or several, left in ``out``."""
    missing = [name for name in PARTS if not (out / f"engines-{name}.json").is_file()]
    if missing:
        raise InputError(f"{out}: engines-{missing[0]}.json is missing; make it with --part {missing[0]}")
    rows = [row for name in PARTS for row in _read(out / f"engines-{name}.json")]
    write_rows(out / "engines.json", rows)
    write_page(page, rows, figure=True, command=_ASSEMBLED)
    return rows


def run_part(name: str, *, out: Path, quick: bool, page: Path | None) -> list[Row]:
    """Rows of one part, written to ``out``/engines-NAME.json too."""
    figure = None if page is None else page.parent / "engines_growth.png"
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        rows = PARTS[name](Path(folder), quick, figure)
    write_rows(out / f"engines-{name}.json", rows)
    return rows


def _apart(before: list[str], name: str, *, out: Path, quick: bool, page: Path | None) -> list[Row]:
    """Rows of one part, made in a process of its own under the command ``before``."""
    command = [*before, sys.executable, "-m", "validation.engines", "--part", name, "-o", str(out)]
    command += ["--quick"] if quick else []
    command += [] if page is None else ["--pages", str(page.parent)]
    path = out / f"engines-{name}.json"
    path.unlink(missing_ok=True)
    subprocess.run(command, check=True)
    return _read(path)


def _read(path: Path) -> list[Row]:
    return [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
