"""The check of the cut-offs finds the one that is too tight."""

from __future__ import annotations

from dataclasses import replace

from pipeline.refinement.convergence import check_cut_offs
from pipeline.refinement.dynamical import refine_dynamical
from pipeline.refinement.settings import DynamicalSettings

WIDE = DynamicalSettings(
    g_max_per_angstrom=1.1, steps=48, s_g_max_per_angstrom=0.03, thickness_nm=12.0, refine_orientations=False,
    reflection_g_max_per_angstrom=0.9, max_cycles=0,
)  # fmt: skip


def test_too_few_steps_are_found(crystals, tools) -> None:  # type: ignore[no-untyped-def]
    model = crystals["brookite"]
    series = tools["simulate"](model, settings=WIDE, thickness_angstrom=120.0, frames=3, step_deg=12.0)
    data = {"orientation": series.orientation, "reflections": series.reflections}
    found = refine_dynamical(model=model, settings=WIDE, **data)
    wide = check_cut_offs(refinement=found, settings=WIDE, **data)
    tight = check_cut_offs(refinement=found, settings=replace(WIDE, steps=4), **data)
    assert wide.frames == 3
    assert wide.change_percent["steps"] < 0.2
    assert tight.change_percent["steps"] > 10 * wide.change_percent["steps"]
    assert "steps is not converged" in tight.verdict
