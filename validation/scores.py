"""All scores of a run, stage by stage, from its view. The summary and the report are both made from these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from validation.lattice_match import LatticeMatch
from validation.score import (
    IntensityScore,
    OrientationScore,
    frame_operations,
    score_integrated,
    score_lattice,
    score_merged,
    score_orientation,
)
from validation.structure import StructureScore, score_structure
from validation.view import RunView


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """None where a stage is missing, failed, or has no truth to be compared with. ``refinements``: by kind."""

    lattice: LatticeMatch | None = None
    orientation: OrientationScore | None = None
    merged: IntensityScore | None = None
    integrated: IntensityScore | None = None
    solution: StructureScore | None = None
    refinements: Mapping[str, StructureScore | None]


def score_run(run: RunView) -> Scores:
    """Compare every stage of the run with the truth."""
    if run.truth is None:
        return Scores(refinements={})
    truth = run.truth
    lattice = score_lattice(orientation=run.orientation, truth=truth) if run.orientation else None
    orientation = merged = integrated = None
    if lattice is not None and run.orientation is not None:
        orientation = score_orientation(orientation=run.orientation, match=lattice, truth=truth)
        if run.merged is not None:
            merged = score_merged(merged=run.merged, match=lattice, truth=truth)
        if run.reflections is not None and run.truth_intensities is not None:
            integrated = score_integrated(
                reflections=run.reflections,
                match=lattice,
                truth_intensities=run.truth_intensities,
                operations=frame_operations(orientation=run.orientation, match=lattice, truth=truth),
            )
    solved = run.solution.crystal if run.solution else None
    return Scores(
        lattice=lattice,
        orientation=orientation,
        merged=merged,
        integrated=integrated,
        solution=score_structure(reference=truth.crystal, other=solved) if solved else None,
        refinements={
            r.kind: score_structure(reference=truth.crystal, other=r.crystal) for r in run.refinements
        },
    )
