"""How good the orientations of stills must be for a dynamical refinement (claim C34).

One short series is simulated and reduced; then the orientations of all stills are turned by random angles, and the
refinements on frames are made again from there, with their own optimisation of the orientations.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from twin.files.atomic import write_text
from twin.files.json import parse_json, read_json, to_json, write_json
from validation.serial.runs import Finished, edtwin, finished, kept, overrides

FRAMES = 24
TURNS_DEG = (0.0, 0.2, 0.4, 0.8)  # standard deviation about each of x, y, z
FIRST = ("refinement.frame_based=false", "refinement.dynamical=false")
AGAIN = ("refinement.frame_based=true", "refinement.dynamical=true")


def loosened_runs(folder: Path, *, turns_deg: Sequence[float] = TURNS_DEG) -> dict[float, Finished]:
    """What the refinements came to, for each size of the turns; what ``folder`` has is taken from there."""
    records = {turn: folder / f"loosened-{turn:g}.json" for turn in turns_deg}
    missing = [turn for turn, path in records.items() if kept(path) is None]
    if missing:
        run = folder / "loosened-run"
        sets = (f"acquisition.frames={FRAMES}", *FIRST)
        edtwin("run", "ito-03", "-o", str(run), "--overwrite", *overrides(sets))
        original = (run / "orientation.json").read_text(encoding="utf-8")
        for turn in missing:
            write_text(run / "orientation.json", turned_text(original, turn_deg=turn))
            complaint = edtwin("refine", str(run), *overrides(AGAIN))
            edtwin("report", str(run))
            write_json(records[turn], finished(run, complaint))
        shutil.rmtree(run)
    return {turn: read_json(Finished, path) for turn, path in records.items()}


def turned_text(orientation: str, *, turn_deg: float, seed: int = 1) -> str:
    """``orientation.json`` with every frame's rotation followed by a random one in the laboratory."""
    table = parse_json(orientation, source="orientation.json")
    rotation = np.array(table["rotation"], dtype=np.float64)
    vectors = np.radians(turn_deg) * np.random.default_rng(seed).standard_normal((len(rotation), 3))
    table["rotation"] = (Rotation.from_rotvec(vectors).as_matrix() @ rotation).tolist()
    return to_json(table)
