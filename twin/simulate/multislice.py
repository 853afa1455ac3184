"""The multislice engine: the particle as atoms, tilt by tilt, to a pattern and integrated reflections in electrons.

The wave behind the particle is ψ = ψ_free + ψ_s, where ψ_free is the illumination that has flown through nothing. The
illumination is mostly far wider than the field of view, so its own narrow spot is drawn as in the other engines, and
holds what ψ_s does not: |ψ|² sums to the electrons on the field, hence the direct beam is what is left of them. All
fractions are of the electrons of the whole beam.

Frozen phonons, where asked for, are shared out among the directions of the exposure: direction s sees configuration
s mod C, so that both averages are taken at once (Loane, Xu & Silcox, Acta Cryst. A47 (1991) 267, for the phonons).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.special import j1

from twin.model.instrument import Beam, Microscope
from twin.model.specimen import Pose
from twin.model.truth import Truth
from twin.physics.beams import coupled_hkl, select_beams
from twin.physics.column import ThicknessBasis, mean_rocking_curve
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.ewald import excitation_errors
from twin.physics.lattice import Floats, Ints, miller_indices, reciprocal_matrix
from twin.physics.multislice import AtomCloud, Estimate, Grid, Waves, estimate, exit_waves, free_flight, phase_slices
from twin.physics.projection import g_from_pixels
from twin.physics.structure_factors import potential_coefficients
from twin.simulate.engine import Engine, Sampling, sample_exposure
from twin.simulate.illumination import beam_intensity, disc_radius_per_angstrom, pixel_per_angstrom
from twin.simulate.waves import tail_limit
from twin.specimen.atoms import atom_cloud, displaced, particle_atoms, stacked
from twin.specimen.film import carbon_film
from twin.specimen.shapes import body_axes, lateral_extent_angstrom
from twin.specimen.streams import stream

_BATCH = 8  # tilts that share the slices of one pass
_WORK_PER_TRANSFORM = 1.5  # time of a slice's transforms with all that goes with them, measured
BAND_OVER_G_MAX = 1.15  # band of the waves over g_max
_ROOM_ANGSTROM = 8.0  # free border on each side for the tails of atoms and the spread of the wave

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pattern:
    """Mean of |ψ_s|² over the steps, (n, n) in fft order with steps of ``step_per_angstrom``, as fractions of the
    beam's electrons; its sum is what is scattered. direct: what stays in the direct beam. on_field: of the beam's
    electrons, those that fall on the field."""

    intensity: Floats
    step_per_angstrom: float
    direct: float
    on_field: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MultisliceExposure:
    """Reflections hkl (n, 3), g_lab (n, 3), fraction (n,) of the beam's electrons; image (slow, fast) of everything
    scattered, fractions a pixel; direct; through_film: of the beam's electrons, those that met a film of atoms, which
    then also scatters into the discs of the reflections."""

    hkl: Ints
    g_lab: Floats
    fraction: Floats
    image: NDArray[np.float32]
    direct: float
    through_film: float


def field_of_view(*, half_angstrom: float, g_max_per_angstrom: float) -> Grid:
    """A field with room around a particle of that half width, and points for a band a little beyond g_max."""
    extent = 2.0 * (1.1 * half_angstrom + _ROOM_ANGSTROM)
    points = math.ceil(3.0 * extent * BAND_OVER_G_MAX * g_max_per_angstrom)
    return Grid(points=int(fft.next_fast_len(points + points % 2)), extent_angstrom=extent)


def multislice_exposure(
    *,
    truth: Truth,
    pose: Pose,
    engine: Engine,
    orientation: Floats,
    sampling: Sampling,
    basis: ThicknessBasis,
) -> MultisliceExposure:
    """One exposure. orientation (3, 3): R · U at mid-exposure."""
    axes = orientation @ body_axes(truth.particle, truth.crystal.cell)
    half = max(lateral_extent_angstrom(particle=truth.particle, axes_lab=axes))
    grid = field_of_view(half_angstrom=half, g_max_per_angstrom=engine.g_max_per_angstrom)
    scope = truth.microscope
    pattern = scattered_pattern(
        runs=_runs(truth, pose, engine, orientation, sampling, grid),
        beam=scope.beam,
        shift_nm=pose.shift_nm,
        grid=grid,
        slice_angstrom=engine.slice_angstrom,
    )
    hkl, weight = _listed(truth, engine, orientation, sampling, basis)
    g_lab = hkl @ (orientation @ reciprocal_matrix(truth.crystal.cell)).T
    radius = disc_radius_per_angstrom(scope.beam) + 1.25 / half
    shortest = float(np.sort(np.linalg.norm(g_lab, axis=1))[0]) if len(hkl) else 1.0
    return MultisliceExposure(
        hkl=hkl,
        g_lab=g_lab,
        fraction=shared_discs(
            pattern=pattern, g_xy=g_lab[:, :2], weight=weight, radius_per_angstrom=min(radius, 0.45 * shortest)
        ),
        image=on_detector(pattern=pattern, microscope=scope, centre_px=pose.centre_px),
        direct=pattern.direct,
        through_film=pattern.on_field if engine.film_as_atoms else 0.0,
    )


Run = tuple[AtomCloud, Floats]  # atoms and the beam directions (m, 3) that look at them


def _runs(
    truth: Truth, pose: Pose, engine: Engine, orientation: Floats, sampling: Sampling, grid: Grid
) -> Iterator[Run]:
    """What is to be computed: each cloud of atoms with all the tilts that share its slices."""
    middle = (0.5 * grid.extent_angstrom, 0.5 * grid.extent_angstrom)
    turning = not np.allclose(sampling.turns, np.eye(3))
    steps = len(sampling.directions)
    configurations = max(1, min(engine.phonon_configurations, steps))
    for number in range(steps if turning else configurations):
        chosen = np.array([number]) if turning else np.arange(number, steps, configurations)
        turn = sampling.turns[number] if turning else np.eye(3)
        atoms = particle_atoms(
            crystal=truth.crystal,
            particle=truth.particle,
            orientation=turn @ orientation,
            alloy="drawn",
            generator=stream(truth.seed, "alloy"),
        )
        if engine.film_as_atoms:
            atoms = stacked(atoms, _film(truth, pose, grid), side="behind")
        if engine.phonon_configurations:
            name = f"phonon/{pose.index}/{number % configurations}"
            atoms = displaced(atoms, stream(truth.seed, name))
        yield atom_cloud(atoms, centre_angstrom=middle), sampling.directions[chosen] @ turn.T


def _film(truth: Truth, pose: Pose, grid: Grid) -> Any:
    """The membrane as atoms over the whole field; another piece of it at each exposure, as the tilt shows one."""
    if truth.membrane.material != "carbon" or truth.membrane.thickness_nm <= 0.0:
        raise ValueError("a film of atoms needs a carbon membrane with a thickness")
    return carbon_film(
        extent_angstrom=grid.extent_angstrom,
        thickness_angstrom=10.0 * truth.membrane.thickness_nm,
        generator=stream(truth.seed, f"film/{pose.index}"),
    )


def scattered_pattern(
    *, runs: Iterator[Run], beam: Beam, shift_nm: tuple[float, float], grid: Grid, slice_angstrom: float
) -> Pattern:
    """Mean over all tilts of all runs; the pattern is sampled twice as finely as the field, so that it can be drawn."""
    incident = illumination(beam=beam, shift_nm=shift_nm, grid=grid)
    on_field = float(np.mean(np.abs(incident) ** 2, dtype=np.float64))
    n = grid.points
    total, scattered, steps, told = np.zeros((2 * n, 2 * n)), 0.0, 0, False
    inside = 0.0
    for cloud, directions in runs:
        if not told:
            log.info("multislice: %s", predict(cloud, grid, slice_angstrom, len(directions)))
            told = True
        length = slice_angstrom * estimate(atoms=cloud, grid=grid, slice_angstrom=slice_angstrom, waves=1).slices
        for tilts in np.array_split(directions, math.ceil(len(directions) / _BATCH)):
            waves = exit_waves(
                phases=phase_slices(atoms=cloud, grid=grid, energy_kev=beam.energy_kev, slice_angstrom=slice_angstrom),
                incident=np.repeat(incident[None], len(tilts), axis=0),
                grid=grid,
                energy_kev=beam.energy_kev,
                slice_angstrom=slice_angstrom,
                directions=tilts,
            )
            free = free_flight(grid=grid, energy_kev=beam.energy_kev, directions=tilts, length_angstrom=length)
            inside += float(np.sum(np.abs(waves) ** 2, dtype=np.float64))
            waves -= free * (fft.fft2(incident) * np.float32(1.0 / n**2))
            scattered += float(np.sum(np.abs(waves) ** 2, dtype=np.float64))
            for wave in waves:
                total += _finer(wave)
            steps += len(tilts)
    return Pattern(
        intensity=total / steps,
        step_per_angstrom=0.5 / grid.extent_angstrom,
        direct=max(0.0, 1.0 - on_field + (inside - scattered) / steps),
        on_field=on_field,
    )


def illumination(*, beam: Beam, shift_nm: tuple[float, float], grid: Grid) -> Waves:
    """Amplitude of the beam on the field (n, n), particle in the middle; mean |ψ|² is the beam's share on the field."""
    axis = (np.arange(grid.points) / grid.points - 0.5) * grid.extent_angstrom
    radius = np.hypot(axis[None, :] + 10.0 * shift_nm[0], axis[:, None] + 10.0 * shift_nm[1])
    amplitude = np.sqrt(beam_intensity(beam=beam, radius_angstrom=radius)) * grid.extent_angstrom
    return np.asarray(amplitude, dtype=np.complex64)


def predict(cloud: AtomCloud, grid: Grid, slice_angstrom: float, tilts: int) -> str:
    """Slices, memory and time of a run in words, the time from a transform that is made for it."""
    told: Estimate = estimate(atoms=cloud, grid=grid, slice_angstrom=slice_angstrom, waves=min(tilts, _BATCH))
    field = np.ones((grid.points, grid.points), dtype=np.complex64)
    seconds = []
    for _ in range(3):  # the first one also plans and touches memory
        begin = process_time()
        fft.fft2(field)
        seconds.append(process_time() - begin)
    passes = math.ceil(tilts / _BATCH)
    return told.sentence(seconds_per_transform=passes * _WORK_PER_TRANSFORM * min(seconds))


def foresee(*, truth: Truth, engine: Engine) -> str:
    """What the series will cost: a sentence to show before it starts."""
    pose = truth.poses[0]
    size = 10.0 * max(truth.particle.size_nm)
    sampling = sample_exposure(
        pose=pose, engine=engine, thickness_angstrom=size, mosaicity_deg=truth.particle.mosaicity_deg
    )
    orientation = sampling.middle @ np.array(truth.particle.mounting)
    axes = orientation @ body_axes(truth.particle, truth.crystal.cell)
    half = max(lateral_extent_angstrom(particle=truth.particle, axes_lab=axes))
    grid = field_of_view(half_angstrom=half, g_max_per_angstrom=engine.g_max_per_angstrom)
    cloud = next(_runs(truth, pose, engine, orientation, sampling, grid))[0]
    told = predict(cloud, grid, engine.slice_angstrom, len(sampling.directions))
    return (
        f"multislice: {len(cloud.element)} atoms, {grid.points}² points, {len(sampling.directions)} tilts;"
        f" {told} a frame, {len(truth.poses)} frames"
    )


def shared_discs(*, pattern: Pattern, g_xy: Floats, weight: Floats, radius_per_angstrom: float) -> Floats:
    """Sum of the pattern within a disc around each g_xy (m, 2); discs that overlap share by ``weight`` (m,); (m,)."""
    n = len(pattern.intensity)
    centre = g_xy / pattern.step_per_angstrom
    reach = radius_per_angstrom / pattern.step_per_angstrom
    offset = np.arange(-math.ceil(reach), math.ceil(reach) + 1)
    ix = np.round(centre[:, :1]).astype(int) + offset
    iy = np.round(centre[:, 1:]).astype(int) + offset
    inside = (ix - centre[:, :1])[:, None, :] ** 2 + (iy - centre[:, 1:])[:, :, None] ** 2 <= reach**2
    flat = (iy % n)[:, :, None] * n + (ix % n)[:, None, :]
    claim = np.where(inside, weight[:, None, None], 0.0)
    claims = np.bincount(flat.ravel(), weights=claim.ravel(), minlength=n * n)
    share = claim / np.maximum(claims[flat], 1e-300)
    return np.asarray(np.sum(share * pattern.intensity.ravel()[flat], axis=(1, 2)))


def on_detector(*, pattern: Pattern, microscope: Microscope, centre_px: tuple[float, float]) -> NDArray[np.float32]:
    """The pattern as fractions a pixel, (slow, fast), folded with the illumination's disc."""
    n = len(pattern.intensity)
    blurred = _blurred(pattern, disc_radius_per_angstrom(microscope.beam))
    spline = ndimage.spline_filter(fft.fftshift(blurred), order=3, output=np.float32, mode="grid-wrap")
    detector = microscope.detector
    parts = max(1, math.ceil(pixel_per_angstrom(microscope) / pattern.step_per_angstrom))
    sub = (np.arange(parts) + 0.5) / parts - 0.5
    slow, fast = np.arange(detector.slow_px)[:, None], np.arange(detector.fast_px)[None, :]
    image = np.zeros((detector.slow_px, detector.fast_px), dtype=np.float32)
    for dy in sub:
        for dx in sub:
            pixels = np.stack(np.broadcast_arrays(fast + dx, slow + dy), axis=-1)
            q = g_from_pixels(pixels=pixels, microscope=microscope, centre_px=centre_px)
            area = np.abs(_jacobian(q)) / (pattern.step_per_angstrom * parts) ** 2
            place = q[..., ::-1] / pattern.step_per_angstrom + n // 2
            value = ndimage.map_coordinates(
                spline, np.moveaxis(place, -1, 0), order=3, prefilter=False, mode="constant", cval=0.0
            )
            image += np.maximum(value, 0.0) * area
    return image


def _jacobian(q: Floats) -> Floats:
    """Area of reciprocal space under each pixel, from differences of q (slow, fast, 2)."""
    dx, dy = np.gradient(q, axis=1), np.gradient(q, axis=0)
    return np.asarray(dx[..., 0] * dy[..., 1] - dx[..., 1] * dy[..., 0])


def _finer(wave: Waves) -> Floats:
    """|Fourier coefficient|² of a wave (n, n; fft order) at half steps: in real space it is set among zeros."""
    n = len(wave)
    real = np.zeros((2 * n, 2 * n), dtype=np.complex64)
    real[:n, :n] = fft.ifft2(wave)
    fine = fft.fft2(real, overwrite_x=True)
    return np.asarray(0.25 * (fine.real**2 + fine.imag**2))


def _blurred(pattern: Pattern, radius_per_angstrom: float) -> Floats:
    """Folded with a disc, through the disc's transform 2 J₁(x)/x."""
    if radius_per_angstrom <= 0.0:
        return pattern.intensity
    n = len(pattern.intensity)
    r = fft.fftfreq(n, pattern.step_per_angstrom)
    x = 2 * np.pi * radius_per_angstrom * np.hypot(r[:, None], r[None, : n // 2 + 1])
    x[0, 0] = 1.0
    damping = 2.0 * j1(x) / x
    damping[0, 0] = 1.0
    return np.maximum(fft.irfft2(fft.rfft2(pattern.intensity) * damping, s=(n, n)), 0.0)


def _listed(
    truth: Truth, engine: Engine, orientation: Floats, sampling: Sampling, basis: ThicknessBasis
) -> tuple[Ints, Floats]:
    """hkl (n, 3) of the reflections near the sphere, and their single-scattering intensities (n,) for sharing."""
    k: Any = wavenumber_per_angstrom(energy_kev=truth.microscope.beam.energy_kev)
    lab = orientation @ reciprocal_matrix(truth.crystal.cell)
    hkl = coupled_hkl(miller_indices(reciprocal=lab, g_max_per_angstrom=engine.g_max_per_angstrom), truth.crystal.hall)
    near = select_beams(
        reciprocal_lab=lab,
        hkl=hkl,
        directions=sampling.directions,
        wavenumber_per_angstrom=k,
        g_max_per_angstrom=engine.g_max_per_angstrom,
        s_max_per_angstrom=max(engine.s_max_per_angstrom or 0.0, tail_limit(basis)),
    )[1:]
    s = excitation_errors(g_lab=hkl[near] @ lab.T, directions=sampling.directions, wavenumber_per_angstrom=k)
    u = potential_coefficients(crystal=truth.crystal, hkl=hkl[near], energy_kev=truth.microscope.beam.energy_kev)
    mean = mean_rocking_curve(basis=basis, excitation_error=s) @ sampling.weight
    return hkl[near], np.abs(u) ** 2 * mean + 1e-12 * mean
