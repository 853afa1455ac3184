"""Our intensities beside those of Dyngo, for the structure and the settings of a published refinement of urea.

Nothing is fitted but a scale a frame. The m42 block of the CIF gives T = 211.0337 nm of a wedge (thickmodel 2) and two
refined numbers without names, which its intensities explain. 0.086538(48065) is ``tiltcorr``: the thickness of a frame
at the stage angle α is T (1 + p (1/cos α − 1)); fitted frame by frame, T grows by 9 % at −60°. 0.023279(529) is the
variance, in square degrees, of five mosaic blocks (mosaicity 5). Non-negative weights of 65 blocks, fitted to the
intensities of 13 frames, are five equally strong blocks at 0, ±0.076° and ±0.191°: the medians of the fifths of a
Gaussian with that variance, cut at 2.5 standard deviations (0, ±0.0789° and ±0.1913°; the cut is a guess).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri

from pipeline.io.cif_pets import read_cif_pets
from pipeline.refinement.engine import FrameEngine
from pipeline.refinement.figures import OBSERVED_SIGMAS, intensity_weights, optimal_scale
from pipeline.refinement.frames import FrameData, exposure_directions
from pipeline.refinement.measured import read_series
from pipeline.refinement.parameters import Parametrisation, parametrise
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.tasks import FrameTask
from twin.files.cif import read_crystal
from twin.physics.electrons import energy_kev_of_wavelength
from twin.physics.lattice import Floats, tilt_axis_vector
from validation.refinement.bethe import BetheEngine
from validation.refinement.published import JanaList, read_jana_list, read_jana_sites
from validation.rows import Row, at_most

UREA_CIF, UREA_PETS = "urea/jana2020_urea_dynamical_IAM.cif", "urea/pets2_urea.cif_pets"
UREA_THICKNESS_ANGSTROM, UREA_TILT_CORRECTION, UREA_MOSAIC_VARIANCE_DEG2 = 2110.337, 0.086538, 0.023279
_SHARES = ndtr(-2.5) + (1.0 - 2.0 * ndtr(-2.5)) * (np.arange(5) + 0.5) / 5
UREA_MOSAICITY_DEG = math.sqrt(UREA_MOSAIC_VARIANCE_DEG2 * float(np.mean(ndtri(_SHARES) ** 2)))
UREA_UNCUT_MOSAICITY_DEG = math.sqrt(UREA_MOSAIC_VARIANCE_DEG2 * float(np.mean(ndtri((np.arange(5) + 0.5) / 5) ** 2)))
UREA = DynamicalSettings(
    mode="continuous",
    g_max_per_angstrom=2.1,
    s_g_max_per_angstrom=0.02,
    steps=140,
    thickness_model="wedge",
    mosaicity_deg=UREA_MOSAICITY_DEG,
    mosaic_blocks=5,
    beams_per_step=True,
    anisotropic=True,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """r_dyngo_percent: R_F against Dyngo's I_calc with a scale a frame; by_frame: (frames,) the same of each.

    r_obs_percent, dyngo_r_obs_percent: R(obs) of ours and of Dyngo's intensities against the data.
    """

    r_dyngo_percent: float
    by_frame: Floats
    r_obs_percent: float
    dyngo_r_obs_percent: float
    reflections: int


def urea_frames(folder: Path, jana: JanaList, zones: list[int], *, settings: DynamicalSettings) -> list[FrameData]:
    """Frames with the reflections that Jana used; every frame turns about its own axis, as ω of its zone says."""
    series, pets = read_series(folder / UREA_PETS, centre=False), read_cif_pets(folder / UREA_PETS)
    lab = series.orientation.rotation @ series.orientation.ub
    frames = []
    for zone in zones:
        rows, index = np.flatnonzero(jana.zone == zone), int(np.flatnonzero(pets.zones == zone)[0])
        axis_deg = -float(pets.omega_deg[index])
        frames.append(
            FrameData(
                index=index,
                hkl=jana.hkl[rows],
                intensity=jana.measured[rows],
                sigma=jana.sigma[rows],
                weights=intensity_weights(intensity=jana.measured[rows], sigma=jana.sigma[rows]),
                reciprocal_lab=lab[index],
                directions=exposure_directions(
                    mode="continuous",
                    semi_angle_deg=series.reflections.precession_deg,
                    steps=settings.steps,
                    tilt_axis_deg=axis_deg,
                ),
                across=np.cross([0.0, 0.0, 1.0], tilt_axis_vector(axis_deg)),
            )
        )
    return frames


def tilted_thickness_angstrom(alpha_deg: float, *, correction: float) -> float:
    """Thickness of urea on a frame at the stage angle ``alpha_deg``, as Dyngo's ``tiltcorr`` has it."""
    return UREA_THICKNESS_ANGSTROM * (1.0 + correction * (1.0 / math.cos(math.radians(alpha_deg)) - 1.0))


def compare_urea(
    folder: Path,
    *,
    every: int = 1,
    settings: DynamicalSettings = UREA,
    correction: float = UREA_TILT_CORRECTION,
    weak_s_max_per_angstrom: float | None = None,
) -> Comparison:
    """Compare every ``every``-th frame of urea. ``correction``: of the thickness at high tilts.

    ``weak_s_max_per_angstrom``: fold beams up to there in by Bethe's potentials.
    """
    jana, pets = read_jana_list(folder / UREA_CIF), read_cif_pets(folder / UREA_PETS)
    zones = [int(z) for z in np.unique(jana.zone)][every // 2 :: every]
    frames = urea_frames(folder, jana, zones, settings=settings)
    crystal = replace(read_jana_sites(folder / UREA_CIF, read_crystal(folder / UREA_CIF)), cell=pets.cell)
    parametrisation = parametrise(crystal, anisotropic=True)
    energy = energy_kev_of_wavelength(pets.wavelength_angstrom)
    evaluate = _intensities(parametrisation, settings, energy, weak_s_max_per_angstrom)
    parts = []
    for frame, zone in zip(frames, zones, strict=True):
        task = FrameTask(
            frame=frame,
            values=parametrisation.start,
            thickness_angstrom=tilted_thickness_angstrom(float(pets.alpha_deg[frame.index]), correction=correction),
            tilt_deg=np.zeros(2),
            mosaicity_deg=settings.mosaicity_deg,
        )
        parts.append(_sums(frame, evaluate(task), jana.calculated[jana.zone == zone]))
    each = np.array(parts)
    total = each.sum(axis=0)
    return Comparison(
        r_dyngo_percent=float(100.0 * total[0] / total[1]),
        by_frame=100.0 * each[:, 0] / each[:, 1],
        r_obs_percent=float(100.0 * total[2] / total[4]),
        dyngo_r_obs_percent=float(100.0 * total[3] / total[4]),
        reflections=sum(len(f.hkl) for f in frames),
    )


def _intensities(
    parametrisation: Parametrisation, settings: DynamicalSettings, energy_kev: float, weak_s_max: float | None
) -> Callable[[FrameTask], Floats]:
    if weak_s_max is not None:
        return BetheEngine(
            parametrisation=parametrisation,
            settings=settings,
            energy_kev=energy_kev,
            weak_s_max_per_angstrom=weak_s_max,
        ).intensity
    engine = FrameEngine(parametrisation=parametrisation, settings=settings, energy_kev=energy_kev)
    return lambda task: engine.evaluate(task).intensity


def _sums(frame: FrameData, calculated: Floats, dyngo: Floats) -> list[float]:
    """Sums that R of a frame is made of: |ours − Dyngo's| and Dyngo's F; |ours − F_o|, |Dyngo's − F_o| and F_o, obs."""
    scale = optimal_scale(intensity=frame.intensity, calculated=calculated, weights=frame.weights)
    theirs, ours = np.sqrt(dyngo), np.sqrt(calculated)
    observed = frame.intensity > OBSERVED_SIGMAS * frame.sigma
    f_obs = np.sqrt(np.clip(frame.intensity, 0.0, None))
    return [
        float(np.abs(ours * float(ours @ theirs) / float(ours @ ours) - theirs).sum()),
        float(theirs.sum()),
        float(np.abs(f_obs - math.sqrt(scale) * ours)[observed].sum()),
        float(np.abs(f_obs - theirs)[observed].sum()),
        float(f_obs[observed].sum()),
    ]


UREA_WEAK_S_MAX_PER_ANGSTROM = 0.05  # the second number of ``usebethe``
VARIANTS: dict[str, tuple[DynamicalSettings, float]] = {
    "one thickness for all tilts": (UREA, 0.0),
    "a Gaussian that is not cut": (replace(UREA, mosaicity_deg=UREA_UNCUT_MOSAICITY_DEG), UREA_TILT_CORRECTION),
    "no mosaic blocks": (replace(UREA, mosaicity_deg=0.0, mosaic_blocks=1), UREA_TILT_CORRECTION),
    "beams within s_g max of 0.03 Å⁻¹": (replace(UREA, s_g_max_per_angstrom=0.03), UREA_TILT_CORRECTION),
    "all beams of the frame at all steps": (replace(UREA, beams_per_step=False), UREA_TILT_CORRECTION),
    "twice as many integration steps": (replace(UREA, steps=280), UREA_TILT_CORRECTION),
}  # fmt: skip
_VARIANTS_EVERY = 8


def agreement_rows(folder: Path, *, quick: bool) -> list[Row]:
    """Rows of urea with Jana's structure, and what changes when one thing is done in another way."""
    found = compare_urea(folder, every=10 if quick else 1, weak_s_max_per_angstrom=UREA_WEAK_S_MAX_PER_ANGSTROM)
    goal, met = at_most(found.r_dyngo_percent, 0.5)
    median, low, high = np.median(found.by_frame), found.by_frame.min(), found.by_frame.max()
    rows = [
        Row(id="urea-dyngo", quantity="urea: R_F of our intensities against Dyngo's, Jana's structure and settings",
            value=found.r_dyngo_percent, unit="%", peer="first trial", peer_value=1.48, goal="" if quick else goal,
            met=None if quick else met, n=found.reflections,
            note=f"weak beams by Bethe's potentials; frames from {low:.2f} to {high:.2f} %, median {median:.2f} %"),
        Row(id="urea-jana-structure", quantity="urea: R(obs) of Jana's structure and settings with our intensities",
            value=found.r_obs_percent, unit="%", peer="Jana2020, the same frames", peer_value=found.dyngo_r_obs_percent,
            n=found.reflections, note="only a scale a frame fitted"),
    ]  # fmt: skip
    every = 10 if quick else _VARIANTS_EVERY
    base = compare_urea(folder, every=every)
    rows.append(
        Row(id="urea-without-bethe", quantity="urea: the same R_F by the engine of refinements, without weak beams",
            value=base.r_dyngo_percent, unit="%", n=base.reflections, note=f"every {every}. frame"),
    )  # fmt: skip
    for name, (settings, correction) in VARIANTS.items():
        other = compare_urea(folder, every=every, settings=settings, correction=correction)
        rows.append(
            Row(id=f"urea-variant-{len(rows) - 2}", quantity=f"urea: that with {name}",
                value=other.r_dyngo_percent, unit="%", peer="as it is", peer_value=base.r_dyngo_percent,
                n=other.reflections, note=f"every {every}. frame"),
        )  # fmt: skip
    return rows
