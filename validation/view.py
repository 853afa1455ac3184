"""Everything that one run produced, side by side: what scores, summary and report are made from.

The layer above (a run folder, a test) fills in what exists; a stage that was not run or failed stays ``None``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.types import MergedReflections, Orientation, Peaks, Refinement, Reflections, Solution
from twin.model.dataset import Dataset
from twin.model.truth import Truth

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TruthIntensities:
    """What really arrived: electrons of each reflection on each frame, before background, detector and noise.

    hkl: (n, 3) in the axes of the true crystal. frame: (n,). electrons: (n,).
    """

    hkl: Ints
    frame: Ints
    electrons: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunView:
    """One run, stage by stage. ``study`` is the published row as a plain mapping (see :mod:`validation.study`);

    ``timings_s`` has the keys of the contract (simulate, acquire, reduce, solve, refine_kinematical,
    refine_dynamical, total), ``meta`` holds free pairs for the foot of the report (versions, hashes, date), and
    ``failures`` the reason of every stage that gave up.
    """

    scenario: str
    seed: int
    engine: str
    title: str = ""
    timings_s: Mapping[str, float] = field(default_factory=dict)
    study: Mapping[str, Any] | None = None
    meta: Mapping[str, str] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    truth: Truth | None = None
    truth_intensities: TruthIntensities | None = None
    dataset: Dataset | None = None
    peaks: Peaks | None = None
    orientation: Orientation | None = None
    reflections: Reflections | None = None
    merged: MergedReflections | None = None
    solution: Solution | None = None
    refinements: tuple[Refinement, ...] = ()

    def refinement(self, kind: str) -> Refinement | None:
        """The refinement of this kind, ``None`` when there is none."""
        return next((r for r in self.refinements if r.kind == kind), None)
