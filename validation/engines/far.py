"""What the twin's forward engine leaves out: cut-offs with and without far beams, against one far wider."""

from __future__ import annotations

import numpy as np

from twin.model.crystal import Crystal
from twin.model.instrument import Beam
from twin.model.specimen import Particle, Pose
from twin.physics.lattice import Floats
from twin.simulate.engine import Engine
from twin.simulate.exposure import exposure_of
from twin.simulate.waves import exposure_waves
from twin.specimen.mounting import as_matrix3
from validation.engines.problem import TILTED
from validation.reference import BROOKITE, ITO
from validation.rows import Row, at_most

BEAM = Beam(energy_kev=200.0, diameter_nm=100.0, flux_e_per_angstrom2_s=1.0)
WIDEST, FARTHEST = 0.12, 0.3  # Å⁻¹: near beams and far beams of the reference
STILL = as_matrix3(np.eye(3))
POSE = Pose(
    index=0, rotation_start=STILL, rotation_end=STILL, precession_deg=1.2, exposure_s=1.0, shift_nm=(0.0, 0.0),
    centre_px=(0.0, 0.0),
)  # fmt: skip
PARTICLES = (
    (ITO, Particle(shape="sphere", size_nm=(10.0, 10.0, 10.0), mounting=as_matrix3(TILTED)), "sphere 10 nm", 0.03),
    (
        BROOKITE,
        Particle(shape="rod", size_nm=(30.0, 30.0, 70.0), mounting=as_matrix3(TILTED)),
        "rod 30 × 70 nm",
        0.015,
    ),
)
Intensities = dict[tuple[int, ...], tuple[float, bool]]


def far_rows(*, quick: bool) -> list[Row]:
    """R1 of an ITO sphere's and a brookite rod's reflections that pass through their Bragg condition."""
    azimuths, rows = (16 if quick else 24), []
    for crystal, particle, words, chosen in PARTICLES:
        reference = _intensities(crystal, particle, WIDEST, FARTHEST, azimuths)
        for s_max in (0.015, 0.02, 0.03, 0.05):
            for far in (0.0, 0.15):
                value, n = _r1(_intensities(crystal, particle, s_max, far, azimuths), reference)
                text, met = at_most(value, 1.0) if far > 0.0 and s_max == chosen else ("", None)
                rows.append(
                    Row(
                        id=f"far-{crystal.name.lower()}-{s_max}-{'with' if far else 'without'}",
                        quantity=f"{crystal.name} {words}: |s| ≤ {s_max} Å⁻¹, "
                        + (f"far beams to {far} Å⁻¹" if far else "no far beams"),
                        value=value,
                        unit="% R1",
                        goal=text,
                        met=met,
                        n=n,
                        note="the cut-off that the engine chooses" if s_max == chosen and far else "",
                    )
                )
    return rows


def _intensities(crystal: Crystal, particle: Particle, s_max: float, far: float, azimuths: int) -> Intensities:
    """Intensity of each reflection, and whether it passes through its Bragg condition."""
    engine = Engine(
        g_max_per_angstrom=1.6,
        s_max_per_angstrom=s_max,
        far_s_max_per_angstrom=far,
        azimuth_steps=azimuths,
        absorption=False,
    )
    exposure = exposure_of(particle=particle, cell=crystal.cell, beam=BEAM, pose=POSE, engine=engine)
    if exposure.shadow.basis is None:
        raise ValueError("no electron meets the particle")
    waves = exposure_waves(
        crystal=crystal,
        energy_kev=BEAM.energy_kev,
        orientation=exposure.orientation,
        sampling=exposure.sampling,
        engine=engine,
        basis=exposure.shadow.basis,
    )
    intensity: Floats = waves.intensity @ exposure.sampling.weight
    met = (waves.excitation_error.min(axis=1) <= 0.0) & (waves.excitation_error.max(axis=1) >= 0.0)
    met[0] = False
    return {tuple(h): (float(i), bool(m)) for h, i, m in zip(waves.hkl.tolist(), intensity, met, strict=True)}


def _r1(found: Intensities, reference: Intensities) -> tuple[float, int]:
    """(Σ|√I − √I_ref| / Σ√I_ref in %, reflections)."""
    pairs = [(found[h][0] if h in found else 0.0, i) for h, (i, met) in reference.items() if met]
    own, wanted = np.sqrt(np.array(pairs)).T
    return 100.0 * float(np.abs(own - wanted).sum() / wanted.sum()), len(pairs)
