"""Derivatives of a frame by forward differences, where one more evaluation costs less than a term of the chain rule.

With only the beams near the sphere at each step, the intensities of a thin frame take a few milliseconds; one
evaluation for each parameter then costs a quarter of what the exact derivatives do. In 64 bit the intensities are
smooth to about 1e-10 of the incident beam, so steps of 1e-6 leave some five digits of a derivative, more than the
normal equations use. s.u.s come from them too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pipeline.refinement.tasks import FrameResult, FrameTask
from twin.physics.lattice import Floats

_STEP = 1e-6  # of a fractional coordinate, of U in Å², of an occupancy, of ln T, of a degree


def by_differences(task: FrameTask, *, evaluate: Callable[[FrameTask], FrameResult]) -> FrameResult:
    """Intensity and asked derivatives of ``task``; ``evaluate`` gives 64-bit intensities of tasks that ask for none."""
    here = replace(task, structure=False, orientation=False, thickness=False, mosaicity=False)
    base = evaluate(here)
    count = len(base.intensity)

    def slope(moved: FrameTask) -> Floats:
        return np.asarray((evaluate(moved).intensity - base.intensity) / _STEP)

    structure = [slope(replace(here, values=v)) for v in _moved(task.values)] if task.structure else []
    turned = [slope(replace(here, tilt_deg=t)) for t in _moved(task.tilt_deg)] if task.orientation else []
    thicker = replace(here, thickness_angstrom=task.thickness_angstrom * (1.0 + _STEP))
    wider = replace(here, mosaicity_deg=task.mosaicity_deg + _STEP)
    return replace(
        base,
        structure=np.array(structure).reshape(-1, count),
        orientation=np.array(turned).reshape(-1, count),
        thickness=slope(thicker) if task.thickness else np.zeros(count),
        mosaicity=slope(wider) if task.mosaicity else np.zeros(0),
    )


def _moved(values: Floats) -> Floats:
    """(P, P): ``values`` (P,) with one of them moved by the step in each row."""
    return np.asarray(values + _STEP * np.eye(len(values)))
