"""Everything that the twin knows and the pipeline must not."""

from __future__ import annotations

from dataclasses import dataclass

from twin.model.crystal import Crystal
from twin.model.instrument import Microscope
from twin.model.plan import Plan
from twin.model.specimen import Membrane, Particle, Pose


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The actual specimen, the actual instrument, and the actual pose of every exposure."""

    crystal: Crystal
    particle: Particle
    membrane: Membrane
    microscope: Microscope
    plan: Plan
    poses: tuple[Pose, ...]
    seed: int
