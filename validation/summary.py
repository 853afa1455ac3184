"""``summary.json``: the contract of DESIGN section 5 as one plain mapping.

Every key of the contract is always there, ``None`` where a stage was not asked for, failed, or has no truth beside it.
A few further keys stand beside them (``rms_absolute_deg``, ``cc_kinematical`` …) and are marked below.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.types import Orientation, Refinement
from twin.model.dataset import Dataset
from twin.model.truth import Truth
from validation.pulls import Pull, coordinate_pulls, mean_square, occupancy_pulls
from validation.scores import Scores, score_run
from validation.structure import StructureScore
from validation.view import RunView

STAGES = ("simulate", "acquire", "reduce", "solve", "refine_kinematical", "refine_dynamical", "total")
CELL_KEYS = ("a_angstrom", "b_angstrom", "c_angstrom", "alpha_deg", "beta_deg", "gamma_deg")
REFINEMENT_KEYS = (
    "reflections_all", "reflections_obs", "parameters", "r_obs_percent", "r_all_percent", "wr_all_percent", "gof_obs",
    "mean_distance_angstrom", "max_distance_angstrom",
)  # fmt: skip


def summarise(run: RunView, scores: Scores | None = None) -> dict[str, Any]:
    """The summary of a run. ``scores``: pass those of :func:`validation.scores.score_run` when already made.

    ``cell`` is the found cell in the true crystal's setting (in its own when there is no truth or no match).
    ``orientation.rms_error_deg`` and ``max_error_deg``: after one common rotation was removed, see validation.score.
    ``intensity``: integrated intensities against the electrons that arrived where the truth lists them, else the
    averaged ones against the kinematical |F|².
    """
    scores = score_run(run) if scores is None else scores
    blocks = {r.kind: _refinement(r, scores.refinements.get(r.kind), run.truth) for r in run.refinements}
    summary = {
        "scenario": run.scenario,
        "seed": run.seed,
        "engine": run.engine,
        "timings_s": {stage: run.timings_s.get(stage) for stage in STAGES},
        "frames": _frames(run.dataset),
        "data": _data(run),
        "cell": _cell(run.orientation, scores),
        "orientation": _orientation(run.orientation, scores),
        "intensity": _intensity(scores),
        "solution": _solution(run, scores.solution),
        "kinematical": {
            "averaged": blocks.get("kinematical_averaged"),
            "non_averaged": blocks.get("kinematical_non_averaged"),
            "frame_based": blocks.get("kinematical_frame_based"),
        },
        "dynamical": blocks.get("dynamical"),
    }
    plain = _plain(summary)
    assert isinstance(plain, dict)
    return plain


def _frames(dataset: Dataset | None) -> dict[str, Any]:
    if dataset is None or len(dataset.counts) == 0:
        return {"count": None, "tilt_range_deg": None, "step_deg": None}
    start = dataset.alpha_start_deg
    edges = np.concatenate([start, dataset.alpha_end_deg])
    step = float(np.median(np.diff(start))) if len(start) > 1 else None
    return {"count": len(start), "tilt_range_deg": [edges.min(), edges.max()], "step_deg": step}


def _data(run: RunView) -> dict[str, Any]:
    m = run.merged
    return {
        "completeness_percent": m.completeness_percent if m else None,
        "redundancy": m.redundancy if m else None,
        "r_int_percent": m.r_int_percent if m else None,
        "averaged_all": len(m.hkl) if m else None,
        "averaged_obs": int(np.sum(m.intensity > 3 * m.sigma)) if m else None,
    }


def _cell(orientation: Orientation | None, scores: Scores) -> dict[str, Any]:
    match = scores.lattice
    cell = match.cell if match else orientation.cell if orientation else None
    block: dict[str, Any] = dict(zip(CELL_KEYS, cell.parameters if cell else [None] * 6, strict=True))
    for key in ("max_length_error_percent", "max_ratio_error_percent", "max_angle_error_deg"):
        block[key] = getattr(match, key) if match else None
    return block


def _orientation(orientation: Orientation | None, scores: Scores) -> dict[str, Any]:
    score = scores.orientation
    return {
        "rms_error_deg": score.rms_error_deg if score else None,
        "max_error_deg": score.max_error_deg if score else None,
        "indexed_frames_percent": 100 * float(np.mean(orientation.indexed)) if orientation else None,
        "rms_absolute_deg": score.rms_absolute_deg if score else None,  # beyond the contract
        "median_error_deg": score.median_error_deg if score else None,  # likewise
        "right_frames_percent": score.right_percent if score else None,  # likewise: within a degree
        "common_rotation_deg": score.common_deg if score else None,  # beyond the contract
        "tilt_axis_deg": orientation.microscope.projection.tilt_axis_deg if orientation else None,  # likewise
        "tilt_axis_sd_deg": orientation.tilt_axis_sd_deg if orientation else None,  # likewise, as the fit has it
        "sense_of_rotation_sigmas": orientation.sense_sigmas if orientation else None,  # likewise: how sure
    }


def _intensity(scores: Scores) -> dict[str, Any]:
    best = scores.integrated or scores.merged
    return {
        "cc_with_truth": best.cc if best else None,
        "r_with_truth_percent": best.r_percent if best else None,
        "cc_averaged_with_kinematical": scores.merged.cc if scores.merged else None,  # beyond the contract
        "r_averaged_with_kinematical_percent": scores.merged.r_percent if scores.merged else None,  # likewise
    }


def _solution(run: RunView, score: StructureScore | None) -> dict[str, Any]:
    solution = run.solution
    return {
        "solved": solution.solved if solution else None,
        "space_group": (solution.space_group or None) if solution else None,
        "space_group_correct": score.space_group_correct if score else None,
        "missing_atoms": score.missing_atoms if score else None,
        "spurious_atoms": score.spurious_atoms if score else None,
        "max_distance_angstrom": score.max_distance_angstrom if score else None,
        "verdict": solution.verdict if solution else None,  # beyond the contract
    }


def _refinement(refinement: Refinement, score: StructureScore | None, truth: Truth | None) -> dict[str, Any]:
    block: dict[str, Any] = {key: getattr(refinement, key) for key in REFINEMENT_KEYS[:7]}
    block["mean_distance_angstrom"] = score.mean_distance_angstrom if score else None
    block["max_distance_angstrom"] = score.max_distance_angstrom if score else None
    refined = {name.rpartition(".")[0] for name in refinement.standard_uncertainties if name.endswith(".occupancy")}
    if refined:
        positions = {s.fract for s in refinement.crystal.sites if s.label in refined}
        block["occupancies"] = {s.label: s.occupancy for s in refinement.crystal.sites if s.fract in positions}
    if refinement.thickness_nm is not None:
        block["thickness_nm"] = refinement.thickness_nm
    block["verdict"] = refinement.verdict  # from here on beyond the contract
    block["cycles"] = refinement.cycles
    if truth is not None:
        block["pulls"] = _pulls(coordinate_pulls(reference=truth.crystal, refinement=refinement))
        if refined:
            block["occupancy_pulls"] = _pulls(occupancy_pulls(reference=truth.crystal, refinement=refinement))
    return block


def _pulls(pulls: tuple[Pull, ...]) -> dict[str, Any]:
    """Each parameter's deviation from the truth and s.u. (coordinates in Å), and the mean square of their ratios."""
    return {
        "mean_square": mean_square(pulls),
        "parameters": {p.name: {"deviation": p.deviation, "uncertainty": p.uncertainty} for p in pulls},
    }


def _plain(value: Any) -> Any:
    """JSON types only; a number that is not finite becomes None."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
