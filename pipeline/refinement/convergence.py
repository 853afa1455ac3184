"""Whether the cut-offs of a refinement are wide enough: what a stricter one does to its calculated intensities."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipeline.refinement.engine import FrameEngine
from pipeline.refinement.frames import select_frames
from pipeline.refinement.parameters import parametrise
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.tasks import FrameTask
from pipeline.types import Orientation, Refinement, Reflections
from twin.files.errors import InputError
from twin.physics.lattice import Floats

ENOUGH_PERCENT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOffCheck:
    """change_percent: R between amplitudes with the cut-offs as they are and with one of them made stricter."""

    change_percent: dict[str, float]
    frames: int

    @property
    def verdict(self) -> str:
        """One sentence."""
        worst = max(self.change_percent, key=lambda key: self.change_percent[key])
        value = self.change_percent[worst]
        if value <= ENOUGH_PERCENT:
            return f"cut-offs are wide enough: making {worst} stricter changes amplitudes by {value:.2f} % at most"
        return f"{worst} is not converged: making it stricter changes amplitudes by {value:.2f} %"


def check_cut_offs(
    *,
    refinement: Refinement,
    orientation: Orientation,
    reflections: Reflections,
    settings: DynamicalSettings,
    frames: int = 3,
) -> CutOffCheck:
    """Calculate a few frames of a refinement again with g_max, s_g_max and steps made stricter one after the other."""
    if refinement.rotation is None or refinement.thickness_nm is None:
        raise InputError(f"cut-offs are checked for refinements on frames, not for a {refinement.kind} one")
    limit = settings.reflection_g_max_per_angstrom or settings.g_max_per_angstrom
    fixed = replace(settings, reflection_g_max_per_angstrom=limit)
    stricter = {
        "g_max_per_angstrom": replace(fixed, g_max_per_angstrom=1.2 * settings.g_max_per_angstrom),
        "s_g_max_per_angstrom": replace(fixed, s_g_max_per_angstrom=1.5 * settings.s_g_max_per_angstrom),
        "steps": replace(fixed, steps=2 * settings.steps),
    }
    there = replace(orientation, rotation=refinement.rotation)

    def amplitudes(chosen: DynamicalSettings) -> list[Floats]:
        data = select_frames(orientation=there, reflections=reflections, settings=fixed, hall=refinement.crystal.hall)
        data = tuple(data[i] for i in np.unique(np.linspace(0, len(data) - 1, frames).round().astype(int)))
        if chosen.steps != fixed.steps:
            finer = select_frames(
                orientation=there, reflections=reflections, settings=chosen, hall=refinement.crystal.hall
            )
            directions = {f.index: f.directions for f in finer}
            data = tuple(replace(f, directions=directions[f.index]) for f in data)
        parametrisation = parametrise(
            replace(refinement.crystal, cell=orientation.cell), anisotropic=settings.anisotropic
        )
        energy = orientation.microscope.beam.energy_kev
        engine = FrameEngine(parametrisation=parametrisation, settings=chosen, energy_kev=energy)
        return [
            np.sqrt(
                engine.evaluate(
                    FrameTask(
                        frame=f,
                        values=parametrisation.start,
                        thickness_angstrom=10.0 * float(refinement.thickness_nm or 0.0),
                        tilt_deg=np.zeros(2),
                        mosaicity_deg=refinement.mosaicity_deg or 0.0,
                    )
                ).intensity
            )
            for f in data
        ]

    base = amplitudes(fixed)
    change = {name: _change(base, amplitudes(chosen)) for name, chosen in stricter.items()}
    return CutOffCheck(change_percent=change, frames=len(base))


def _change(first: list[Floats], second: list[Floats]) -> float:
    a, b = np.concatenate(first), np.concatenate(second)
    return float(100.0 * np.abs(a - b).sum() / max(float(a.sum()), 1e-300))
