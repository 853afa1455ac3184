"""DIALS as a subprocess: import, find spots, index, refine, integrate; what came out as arrays, and its CPU time."""

from __future__ import annotations

import os
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import numpy as np
from numpy.typing import NDArray

from twin.files.nxmx import write_dataset
from twin.model.dataset import Dataset

SCRIPT = Path(__file__).parent.parent / "peers" / "dials_results.py"
PYTHON = os.environ.get("EDTWIN_PEER_DIALS", "/usr/bin/python3")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DialsResult:
    """Arrays of validation/peers/dials_results.py, empty with ``failed`` saying at which step and why."""

    arrays: dict[str, NDArray[np.generic]]
    cpu_s: float
    spots: int
    failed: str


def available() -> bool:
    """Whether DIALS is installed."""
    return which("dials.import") is not None and Path(PYTHON).is_file()


def version() -> str:
    """Version of DIALS, or ''."""
    try:
        text = subprocess.run(["dials.version"], capture_output=True, text=True, check=False, timeout=120).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return next((line.split()[-1] for line in text.splitlines() if "DIALS" in line), "")


def _step(folder: Path, *words: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        list(words), cwd=folder, capture_output=True, text=True, check=False, timeout=1500, env=environment
    )
    if done.returncode == 0:
        return ""
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return f"{words[0]}: {lines[-1].strip()[:120] if lines else 'no message'}"


def run_dials(
    dataset: Dataset, folder: Path, *, scan_varying: bool = True, joined: tuple[str, ...] = ()
) -> DialsResult:
    """The whole chain with defaults but a fixed distance (it cannot be told from the cell). ``joined``: more words for
    dials.index."""
    folder.mkdir(parents=True, exist_ok=True)
    write_dataset(folder / "frames.nxs", dataset)
    fixed = "detector.fix=distance"
    varying = f"scan_varying={scan_varying}"
    steps = (
        ("dials.import", "frames.nxs"),
        ("dials.find_spots", "imported.expt", "nproc=1"),
        ("dials.index", "imported.expt", "strong.refl", fixed, *joined),
        ("dials.refine", "indexed.expt", "indexed.refl", fixed, varying),
        ("dials.integrate", "refined.expt", "refined.refl", "nproc=1"),
    )
    before = _children_s()
    failed = ""
    for words in steps:
        failed = _step(folder, *words)
        if failed:
            break
    spent = _children_s() - before
    last = "integrated" if not failed else "refined" if (folder / "refined.refl").exists() else "indexed"
    arrays: dict[str, NDArray[np.generic]] = {}
    if (folder / f"{last}.refl").exists():
        message = _step(folder, PYTHON, str(SCRIPT), f"{last}.expt", f"{last}.refl", "result.npz")
        if not message:
            with np.load(folder / "result.npz") as file:
                arrays = {name: file[name] for name in file.files}
        failed = failed or message
    return DialsResult(arrays=arrays, cpu_s=spent, spots=0, failed=failed)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
