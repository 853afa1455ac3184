"""DIALS as a subprocess: import, find spots, index, refine, integrate; what came out as arrays, and its CPU time."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.physics.lattice import rotation_matrix

Floats = NDArray[np.float64]

SCRIPT = Path(__file__).parent.parent / "peers" / "dials_results.py"
PYTHON = os.environ.get("EDTWIN_PEER_DIALS", "/usr/bin/python3")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DialsResult:
    """Arrays of validation/peers/dials_results.py, empty with ``failed`` saying at which step and why."""

    arrays: dict[str, NDArray[Any]]
    cpu_s: float
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


def dials_frame_ub(arrays: Mapping[str, NDArray[Any]]) -> Floats:
    """ub in the middle of each frame, (frames, 3, 3): z along the beam, x along the detector's fast axis across it.

    DIALS holds the axis and moves detector and beam: with electrons a tilt of the beam and a shift of the detector
    leave nearly the same frames. What its frames show must be read from its beam and the axes of its detector.
    """
    turns = [rotation_matrix(axis=arrays["axis"], angle_deg=float(angle)) for angle in arrays["alpha_deg"]]
    z = arrays["beam"] / np.linalg.norm(arrays["beam"])
    x = arrays["fast"] - (arrays["fast"] @ z) * z
    x = x / np.linalg.norm(x)
    ub = np.array([x, np.cross(z, x), z]) @ arrays["setting"] @ np.array(turns) @ arrays["fixed"] @ arrays["a"]
    return np.asarray(ub, dtype=np.float64)


def run_dials(frames: Path, *, scan_varying: bool = True, joined: tuple[str, ...] = ()) -> DialsResult:
    """The whole chain in the folder of ``frames``, with defaults but a fixed distance, which cannot be told from the
    cell. ``joined``: more words for dials.index."""
    folder = frames.parent
    fixed = "detector.fix=distance"
    varying = f"scan_varying={scan_varying}"
    steps = (
        ("dials.import", frames.name),
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
    arrays: dict[str, NDArray[Any]] = {}
    if (folder / f"{last}.refl").exists():
        message = _step(folder, PYTHON, str(SCRIPT), f"{last}.expt", f"{last}.refl", "result.npz")
        if not message:
            with np.load(folder / "result.npz") as file:
                arrays = {name: file[name] for name in file.files}
        failed = failed or message
    return DialsResult(arrays=arrays, cpu_s=spent, failed=failed)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
