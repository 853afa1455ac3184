"""Geometry of one exposure: the particle in its orientation under the beam, and the directions that it is seen from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from twin.model.crystal import Cell
from twin.model.instrument import Beam
from twin.model.specimen import Particle, Pose
from twin.physics.lattice import Floats
from twin.simulate.bending import Strips, bend
from twin.simulate.engine import START_S_MAX_PER_ANGSTROM, Engine, Sampling, middle_rotation, sample_exposure
from twin.simulate.illumination import Footprint, footprint
from twin.specimen.shapes import body_axes, maximum_thickness_angstrom

_MAX_NODES = 48


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exposure:
    """R·U at the middle (3, 3), the particle's axes in the laboratory (3, 3), its footprint, the steps.

    strips: of a bent particle, whose steps then come once for each strip.
    """

    orientation: Floats
    axes_lab: Floats
    shadow: Footprint
    sampling: Sampling
    strips: Strips | None


def exposure_of(*, particle: Particle, cell: Cell, beam: Beam, pose: Pose, engine: Engine) -> Exposure:
    """Steps and thickness nodes for the thickest column in this orientation."""
    orientation = middle_rotation(pose)[0] @ np.array(particle.mounting)
    axes = orientation @ body_axes(particle, cell)
    deepest = maximum_thickness_angstrom(particle=particle, axes_lab=axes)
    sampling = sample_exposure(
        pose=pose, engine=engine, thickness_angstrom=deepest, mosaicity_deg=particle.mosaicity_deg
    )
    shadow = footprint(
        particle=particle, axes_lab=axes, beam=beam, shift_nm=pose.shift_nm, nodes=_nodes(engine, deepest)
    )
    strips = None
    if shadow.basis is not None:
        sampling, strips = bend(
            particle=particle,
            axes_lab=axes,
            sampling=sampling,
            basis=shadow.basis,
            thickness_angstrom=shadow.thickness_angstrom,
            weight=shadow.weight,
            position_angstrom=shadow.middle_angstrom,
            g_max_per_angstrom=engine.g_max_per_angstrom,
        )
    return Exposure(orientation=orientation, axes_lab=axes, shadow=shadow, sampling=sampling, strips=strips)


def _nodes(engine: Engine, thickness_angstrom: float) -> int:
    """Enough Gauss nodes for sin²(π s t) up to s_max."""
    s_max = engine.s_max_per_angstrom or START_S_MAX_PER_ANGSTROM
    return min(_MAX_NODES, max(engine.thickness_nodes, math.ceil(1.6 * s_max * thickness_angstrom) + 5))
