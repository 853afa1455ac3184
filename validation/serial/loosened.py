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
from twin.files.json import parse_json, to_json
from validation.serial.runs import Finished, completed, finished, keep, kept

FRAMES = 24
TURNS_DEG = (0.0, 0.2, 0.4, 0.8)  # standard deviation about each of x, y, z
_FIRST = (f"acquisition.frames={FRAMES}", "refinement.frame_based=false", "refinement.dynamical=false")
_AGAIN = ("refinement.frame_based=true", "refinement.dynamical=true")


def loosened_runs(folder: Path, *, turns_deg: Sequence[float] = TURNS_DEG) -> dict[float, Finished]:
    """What the refinements came to, for each size of the turns; what ``folder`` has is taken from there."""
    records = {turn: folder / f"loosened-{turn:g}.json" for turn in turns_deg}
    found = {turn: kept(path, recipe=_recipe(turn)) for turn, path in records.items()}
    run = folder / "loosened-run"
    if None in found.values():
        completed("run", "ito-03", "-o", str(run), "--overwrite", sets=_FIRST)
        original = (run / "orientation.json").read_text(encoding="utf-8")
        for turn in [turn for turn, made in found.items() if made is None]:
            write_text(run / "orientation.json", turned_text(original, turn_deg=turn))
            ended = completed("refine", str(run), sets=_AGAIN)
            completed("report", str(run), "--summary-only")
            found[turn] = keep(records[turn], finished(run, ended), recipe=_recipe(turn))
    if run.is_dir():
        shutil.rmtree(run)
    return {turn: made for turn, made in found.items() if made is not None}


def _recipe(turn_deg: float) -> str:
    return f"ito-03 {' '.join((*_FIRST, *_AGAIN))} turned by {turn_deg:g}"


def turned_text(orientation: str, *, turn_deg: float, seed: int = 1) -> str:
    """``orientation.json`` with every frame's rotation followed by a random one in the laboratory."""
    table = parse_json(orientation, source="orientation.json")
    rotation = np.array(table["rotation"], dtype=np.float64)
    vectors = np.radians(turn_deg) * np.random.default_rng(seed).standard_normal((len(rotation), 3))
    table["rotation"] = (Rotation.from_rotvec(vectors).as_matrix() @ rotation).tolist()
    return to_json(table)
