"""Kinematical rotation series with a known truth, for the reduction alone.

Not the model of the pipeline: rocking curves are Gaussian in s (the pipeline fits those of a sphere), spots are
Gaussians integrated over the pixels. One electron is one count, so that programs that assume Poisson noise are right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from twin.model.dataset import Dataset
from twin.model.instrument import Beam, Detector, Microscope, Projection
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.lattice import miller_indices, reciprocal_matrix, rotation_matrix, tilt_axis_vector
from twin.physics.projection import pixels_from_g
from twin.physics.structure_factors import structure_factors
from validation.reduction.conditions import Conditions
from validation.reduction.information import SPOT_SIGMA_PX, amplitude_information
from validation.reduction.lens import seen_at
from validation.reference import BROOKITE, IN2O3

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CRYSTALS = {crystal.name: crystal for crystal in (IN2O3, BROOKITE)}
SIZE_PX = 512
PER_PX = 0.0075  # Å⁻¹
ENERGY_KEV = 200.0
G_MAX_PER_ANGSTROM = 1.7
BEAM_COUNTS, BEAM_SIGMA_PX = 3e4, 4.0 / 3.0  # of the direct beam: counts of its middle pixel, width


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """A series before it is drawn: nominal and actual instrument; ub at tilt 0; hkl (n, 3) and f2 (n,), 1 for the
    twentieth strongest; of each frame its angle at the start, rotation at mid-exposure (frames, 3, 3), direct beam
    (frames, 2) in px, scale (frames,); width of the rocking curve (a standard deviation) in Å⁻¹."""

    conditions: Conditions
    nominal: Microscope
    actual: Microscope
    ub: Floats
    hkl: Ints
    f2: Floats
    alpha_deg: Floats
    rotation: Floats
    centre_px: Floats
    scale: Floats
    width_per_angstrom: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exposure:
    """What one frame gets: of every reflection of the scene (n,) the electrons, their derivative by the excitation
    error, the part of the rocking curve that is swept and the lever arm about the tilt axis in Å⁻¹; g (n, 3)."""

    g: Floats
    electrons: Floats
    slope: Floats
    part: Floats
    lever: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """A series and its truth: rotation (frames, 3, 3) at mid-exposure, ub at tilt 0; for each reflection that passes
    the sphere wholly: hkl (n, 3), f2 (n,), counts (n,) expected over all frames, variance (n,) that photon noise
    leaves to the best estimator."""

    dataset: Dataset
    scene: Scene
    hkl: Ints
    f2: Floats
    counts: Floats
    variance: Floats

    @property
    def ub(self) -> Floats:
        """(3, 3) at tilt 0."""
        return self.scene.ub

    @property
    def rotation(self) -> Floats:
        """(frames, 3, 3) at mid-exposure."""
        return self.scene.rotation


def _microscopes(conditions: Conditions) -> tuple[Microscope, Microscope]:
    """Nominal and actual."""
    k = wavenumber_per_angstrom(energy_kev=ENERGY_KEV)
    middle = 0.5 * (SIZE_PX - 1)
    projection = Projection(
        camera_length_mm=0.055 * k / PER_PX,
        centre_fast_px=middle,
        centre_slow_px=middle,
        tilt_axis_deg=32.0,
        ellipse_percent=conditions.ellipse_percent,
        ellipse_azimuth_deg=70.0,
    )
    detector = Detector(name="ideal", fast_px=SIZE_PX, slow_px=SIZE_PX, pixel_size_um=55.0, counter_max=2**24)
    actual = Microscope(
        name="kinematical",
        beam=Beam(energy_kev=ENERGY_KEV, diameter_nm=100.0, flux_e_per_angstrom2_s=1.0),
        detector=detector,
        projection=projection,
    )
    said = replace(projection, ellipse_percent=0.0, tilt_axis_deg=32.0 - conditions.axis_error_deg)
    return replace(actual, projection=said), actual


def draw_scene(conditions: Conditions, rng: np.random.Generator) -> Scene:
    """Orientation of the crystal and errors of the instrument."""
    c = conditions
    nominal, actual = _microscopes(c)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    crystal = CRYSTALS[c.crystal]
    ub = q * np.sign(np.linalg.det(q)) @ reciprocal_matrix(crystal.cell)
    hkl = miller_indices(reciprocal=ub, g_max_per_angstrom=G_MAX_PER_ANGSTROM)
    f2 = np.abs(structure_factors(crystal=crystal, hkl=hkl)) ** 2
    keep = (f2 > 1e-8) & np.any(hkl != 0, axis=1)
    alpha = np.asarray(c.step_deg * (np.arange(c.frames) - 0.5 * c.frames), dtype=np.float64)
    centre = 0.5 * (SIZE_PX - 1) + c.centre_jitter_px * rng.normal(size=(c.frames, 2))
    centre += c.drift_px * np.cumsum(rng.normal(size=(c.frames, 2)), axis=0) / np.sqrt(c.frames)
    wobble = c.jitter_deg * rng.normal(size=(c.frames, 3))
    axis = tilt_axis_vector(actual.projection.tilt_axis_deg)
    return Scene(
        conditions=c,
        nominal=nominal,
        actual=actual,
        ub=ub,
        hkl=hkl[keep],
        f2=f2[keep] / np.sort(f2[keep])[-20],
        alpha_deg=alpha,
        rotation=np.array(
            [
                _turn(w) @ rotation_matrix(axis=axis, angle_deg=float(a) + 0.5 * c.step_deg)
                for w, a in zip(wobble, alpha, strict=True)
            ]
        ),
        centre_px=centre,
        scale=np.exp(c.scale_sd * rng.normal(size=c.frames)),
        width_per_angstrom=0.44 / (10.0 * c.size_nm),  # of sin²(πst)/(πs)² in its middle
    )


def _turn(vector_deg: Floats) -> Floats:
    angle = float(np.linalg.norm(vector_deg))
    return rotation_matrix(axis=vector_deg, angle_deg=angle) if angle > 0 else np.eye(3)


def exposure(scene: Scene, frame: int) -> Exposure:
    """Gaussian rocking curves, averaged over the sweep of the frame."""
    c, width = scene.conditions, scene.width_per_angstrom
    k = wavenumber_per_angstrom(energy_kev=ENERGY_KEV)
    g = scene.hkl @ (scene.rotation[frame] @ scene.ub).T
    s = -g[:, 2] - np.sum(g**2, axis=1) / (2 * k)
    lever = np.abs(np.cross(tilt_axis_vector(scene.actual.projection.tilt_axis_deg), g)[:, 2])
    half = 0.5 * np.radians(c.step_deg) * np.maximum(lever, 1e-6)
    high, low = (s + half) / width, (s - half) / width
    part = 0.5 * (erf(high / np.sqrt(2)) - erf(low / np.sqrt(2)))
    bend = (np.exp(-0.5 * high**2) - np.exp(-0.5 * low**2)) / (np.sqrt(2 * np.pi) * width)
    # a node half an Å⁻¹ from the axis has a Lorentz factor of 2
    unit = 0.5 * c.strong_counts * scene.f2 * np.radians(c.step_deg) * scene.scale[frame] / (2 * half)
    return Exposure(g=g, electrons=unit * part, slope=unit * bend, part=part, lever=lever)


def positions(scene: Scene, frame: int, g: Floats) -> Floats:
    """Where reflections g (n, 3) land, (n, 2) in px, distortions included."""
    centre = scene.centre_px[frame]
    ideal = pixels_from_g(g_xy=g[:, :2], microscope=scene.actual, centre_px=centre)
    return seen_at(ideal, centre, scene.conditions.lens)


def diffuse(scene: Scene, g_length: Floats) -> Floats:
    """Counts of a pixel at |g| between spots, without the direct beam."""
    g = g_length
    ring = 0.8 * np.exp(-(((g - 0.5) / 0.12) ** 2))
    return np.asarray(scene.conditions.background * (0.5 + ring + 3 * np.exp(-g / 0.12)))


def _draw(image: Floats, xy: Floats, electrons: Floats) -> None:
    """Add Gaussian spots, integrated over each pixel; in place."""
    reach = 6
    window = np.arange(-reach, reach + 1)
    for (x, y), e in zip(xy, electrons, strict=True):
        ix, iy = round(float(x)), round(float(y))
        if e < 1e-3 or not (reach < ix < image.shape[1] - reach - 1 and reach < iy < image.shape[0] - reach - 1):
            continue
        edges = np.array([window - 0.5, window + 0.5]) / (np.sqrt(2.0) * SPOT_SIGMA_PX)
        shift = np.array([ix - x, iy - y]) / (np.sqrt(2.0) * SPOT_SIGMA_PX)
        wx, wy = (0.5 * (erf(edges[1] + t) - erf(edges[0] + t)) for t in shift)
        image[iy - reach : iy + reach + 1, ix - reach : ix + reach + 1] += e * np.outer(wy, wx)


def on_detector(xy: Floats) -> NDArray[np.bool_]:
    """Which positions (n, 2) have a whole spot on the detector."""
    return np.asarray(np.all((xy > 12) & (xy < SIZE_PX - 13), axis=1))


def level_at(scene: Scene, frame: int, xy: Floats) -> Floats:
    """Counts of a pixel beside the spots at ``xy`` (n, 2), the direct beam's tail included."""
    r = np.linalg.norm(xy - scene.centre_px[frame], axis=-1)
    return np.asarray(diffuse(scene, r * PER_PX) + BEAM_COUNTS * np.exp(-0.5 * (r / BEAM_SIGMA_PX) ** 2))


def make_known(conditions: Conditions) -> Known:
    """Draw the errors of the instrument, then the frames."""
    c = conditions
    rng = np.random.default_rng(c.seed)
    scene = draw_scene(c, rng)
    line = np.arange(SIZE_PX, dtype=np.float64)
    grid = np.stack(np.meshgrid(line, line), axis=-1)
    images = np.zeros((c.frames, SIZE_PX, SIZE_PX), dtype=np.uint32)
    n = len(scene.hkl)
    total, curve, squares = np.zeros(n), np.zeros(n), np.zeros(n)
    for f in range(c.frames):
        e = exposure(scene, f)
        expected = level_at(scene, f, grid)
        near = np.flatnonzero(e.electrons > 1e-3)
        xy = positions(scene, f, e.g[near])
        _draw(expected, xy, e.electrons[near])
        images[f] = rng.poisson(expected)
        seen = on_detector(xy) & (e.lever[near] > 0.05)
        inside, counts = near[seen], e.electrons[near[seen]]
        total[inside] += counts
        curve[inside] += e.part[inside]
        squares[inside] += counts**2 * amplitude_information(counts, level_at(scene, f, xy[seen]))
    slack = 0.01 if c.jitter_deg == 0 else 0.1
    whole = np.abs(curve - 1.0) < slack
    dataset = Dataset(
        counts=images,
        alpha_start_deg=scene.alpha_deg,
        alpha_end_deg=np.asarray(scene.alpha_deg + c.step_deg, dtype=np.float64),
        exposure_s=np.ones(c.frames),
        bad_pixels=np.zeros((SIZE_PX, SIZE_PX), dtype=bool),
        microscope=scene.nominal,
        mode="continuous",
        precession_deg=0.0,
        name=c.name,
    )
    return Known(
        dataset=dataset,
        scene=scene,
        hkl=scene.hkl[whole],
        f2=scene.f2[whole],
        counts=total[whole],
        variance=total[whole] ** 2 / np.maximum(squares[whole], 1e-12),
    )
