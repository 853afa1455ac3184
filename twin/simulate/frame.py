"""Truth and pose in, expected electrons on the detector out.

Column approximation over the particle in its true orientation under the beam; many-beam or single scattering summed
over the directions of the exposure; spots, direct beam, diffuse scattering. No electron is lost on the way: what does
not land on the detector has left through its edge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.model.specimen import Pose
from twin.model.truth import Truth
from twin.physics.column import ThicknessBasis, density_matrices, spot_coefficients
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.ewald import excitation_errors
from twin.physics.lattice import Floats, Ints
from twin.physics.projection import pixels_from_g
from twin.physics.structure_factors import structure_factors
from twin.simulate.background import diffuse_image
from twin.simulate.cutoff import series_cut_off
from twin.simulate.engine import Engine, Sampling
from twin.simulate.exposure import Exposure, exposure_of
from twin.simulate.illumination import direct_beam_spot, incident_electrons, particle_spots
from twin.simulate.multislice import multislice_exposure
from twin.simulate.render import add_spots
from twin.simulate.waves import Waves, exposure_waves
from twin.specimen.membrane import inelastic_fraction, transmitted_fraction

_LEAST_ELECTRONS = 1e-3  # spots below this are not drawn; they stay in the list


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExpectedFrame:
    """One exposure as electrons, before the detector responds.

    image: (slow, fast) float32 electrons per pixel. Reflections (n,), without the direct beam: hkl (n, 3), g_lab
    (n, 3) Å⁻¹ and excitation_error (n,) Å⁻¹ (beam along z) at mid-exposure, intensity_e electrons in the spot,
    position_px (n, 2) fast and slow, f_squared |F|² in Å² (rest mass). incident_e: electrons of the exposure;
    on_particle_e: those that met the particle; direct_beam_e: those not scattered to angles, energy losses included;
    thermal_e: lost to thermal diffuse scattering. mean_thickness_angstrom: over the electrons that met the particle.
    beams: coupled. s_max_per_angstrom: the cut-off that was used; truncation_r1: what it is estimated to cost, as R1 of
    the reflections that pass through their Bragg condition (nan for a cut-off that was given).
    """

    image: NDArray[np.float32]
    hkl: Ints
    g_lab: Floats
    excitation_error: Floats
    intensity_e: Floats
    position_px: Floats
    f_squared: Floats
    incident_e: float
    on_particle_e: float
    direct_beam_e: float
    thermal_e: float
    mean_thickness_angstrom: float
    maximum_thickness_angstrom: float
    beams: int
    s_max_per_angstrom: float = math.nan
    truncation_r1: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scattered:
    """Per electron through the membrane: fraction (n,) in each spot, and what hit, what stayed, what was absorbed.

    ``image``: all that is scattered, where the engine makes whole patterns (multislice), in place of spots.
    ``through_film``: share of the beam whose passage through the membrane is part of that, atom by atom.
    """

    hkl: Ints
    g_lab: Floats
    fraction: Floats
    position_px: Floats
    density: NDArray[np.complexfloating[Any, Any]]
    hit: float
    direct: float
    lost: float
    beams: int
    image: NDArray[np.float32] | None = None
    through_film: float = 0.0


def expected_electrons(*, truth: Truth, pose: Pose, engine: Engine) -> ExpectedFrame:
    """Expected electrons of one exposure: a pure function, no noise and no response."""
    scope = truth.microscope
    incident = incident_electrons(beam=scope.beam, exposure_s=pose.exposure_s, intensity_scale=pose.intensity_scale)
    cut_off = series_cut_off(truth=truth, pose=pose, engine=engine)
    engine = replace(engine, s_max_per_angstrom=cut_off.s_max_per_angstrom)
    exposure = exposure_of(
        particle=truth.particle, cell=truth.crystal.cell, beam=scope.beam, pose=pose, engine=engine
    )
    scattered = _scatter(truth, pose, engine, exposure)
    transmitted = transmitted_fraction(membrane=truth.membrane, energy_kev=scope.beam.energy_kev)
    through = incident * (1.0 if scattered.through_film else transmitted)
    direct = through * scattered.direct
    if scattered.through_film:
        direct -= incident * (1.0 - scattered.through_film) * (1.0 - transmitted)
    image = np.zeros((scope.detector.slow_px, scope.detector.fast_px), dtype=np.float32)
    if scattered.image is not None:
        image += np.float32(through) * scattered.image
    elif exposure.shadow.basis is not None:
        _draw_spots(image, truth, pose, exposure, exposure.shadow.basis, scattered, through)
    loss = inelastic_fraction(membrane=truth.membrane, energy_kev=scope.beam.energy_kev)
    _draw_direct_beam(image, truth, pose, direct * (1.0 - loss))
    image += diffuse_image(
        microscope=scope,
        centre_px=pose.centre_px,
        membrane=truth.membrane,
        membrane_electrons=incident * (1.0 - scattered.through_film),
        crystal=truth.crystal,
        thermal_electrons=through * scattered.lost,
        loss_electrons=direct * loss,
    )
    k = wavenumber_per_angstrom(energy_kev=scope.beam.energy_kev)
    middle = excitation_errors(g_lab=scattered.g_lab, directions=[[0.0, 0.0, 1.0]], wavenumber_per_angstrom=k)
    return ExpectedFrame(
        image=image,
        hkl=scattered.hkl,
        g_lab=scattered.g_lab,
        excitation_error=middle[:, 0],
        intensity_e=through * scattered.fraction,
        position_px=scattered.position_px,
        f_squared=np.abs(structure_factors(crystal=truth.crystal, hkl=scattered.hkl)) ** 2,
        incident_e=incident,
        on_particle_e=through * scattered.hit,
        direct_beam_e=direct,
        thermal_e=through * scattered.lost,
        mean_thickness_angstrom=_mean_thickness(exposure.shadow.basis),
        maximum_thickness_angstrom=exposure.shadow.maximum_angstrom,
        beams=scattered.beams,
        s_max_per_angstrom=cut_off.s_max_per_angstrom,
        truncation_r1=cut_off.r1,
    )


def _scatter(truth: Truth, pose: Pose, engine: Engine, exposure: Exposure) -> _Scattered:
    """Solve the exposure; an empty list of reflections when no electron meets the particle."""
    basis, sampling = exposure.shadow.basis, exposure.sampling
    if basis is None:
        none = np.zeros((0, 3))
        return _Scattered(
            hkl=none.astype(np.int64), g_lab=none, fraction=none[:, 0], position_px=none[:, :2],
            density=np.zeros((0, 1, 1), dtype=np.complex64), hit=0.0, direct=1.0, lost=0.0, beams=0,
        )  # fmt: skip
    if engine.kind == "multislice":
        return _multislice(truth, pose, engine, exposure, basis)
    waves = exposure_waves(
        crystal=truth.crystal,
        energy_kev=truth.microscope.beam.energy_kev,
        orientation=exposure.orientation,
        sampling=sampling,
        engine=engine,
        basis=basis,
        strips=exposure.strips,
    )
    fraction = waves.intensity @ sampling.weight
    hit = float(basis.weight.sum())
    diffracted = float(fraction[1:].sum())
    passed = float(fraction[0]) - float(waves.tail[1:].sum()) if engine.kind == "bloch" else hit - diffracted
    return _Scattered(
        hkl=waves.hkl[1:],
        g_lab=waves.g_lab[1:],
        fraction=fraction[1:],
        position_px=_positions(truth, pose, exposure, waves),
        density=_spot_densities(waves, basis, sampling, modes=min(engine.spot_modes, basis.weight.size)),
        hit=hit,
        direct=max(0.0, 1.0 - hit + passed),
        lost=max(0.0, hit - passed - diffracted),
        beams=len(waves.coupled),
    )


def _multislice(truth: Truth, pose: Pose, engine: Engine, exposure: Exposure, basis: ThicknessBasis) -> _Scattered:
    found = multislice_exposure(
        truth=truth,
        pose=pose,
        engine=engine,
        orientation=exposure.orientation,
        sampling=exposure.sampling,
        basis=basis,
    )
    return _Scattered(
        hkl=found.hkl,
        g_lab=found.g_lab,
        fraction=found.fraction,
        position_px=pixels_from_g(g_xy=found.g_lab[:, :2], microscope=truth.microscope, centre_px=pose.centre_px),
        density=np.zeros((len(found.hkl), 1, 1), dtype=np.complex64),
        hit=float(basis.weight.sum()),
        direct=found.direct,
        lost=0.0,
        beams=len(found.hkl) + 1,
        image=found.image,
        through_film=found.through_film,
    )


def _spot_densities(
    waves: Waves, basis: ThicknessBasis, sampling: Sampling, *, modes: int
) -> NDArray[np.complexfloating[Any, Any]]:
    """(n, modes, modes) for all reflections but the direct beam; tails are spread evenly over the modes."""
    density = np.zeros((len(waves.hkl), modes, modes), dtype=np.complex64)
    density[waves.coupled] = density_matrices(
        basis=basis,
        amplitudes=waves.amplitudes,
        excitation_error=waves.excitation_error[waves.coupled],
        azimuth_weight=sampling.weight,
        modes=modes,
    )
    density[:, np.arange(modes), np.arange(modes)] += (waves.tail / modes)[:, None].astype(np.complex64)
    return density[1:]


def _positions(truth: Truth, pose: Pose, exposure: Exposure, waves: Waves) -> Floats:
    """Where spots land: the intensity-weighted g of the exposure, moved by s along the lean of the shape transform."""
    sampling = exposure.sampling
    share = waves.intensity[1:] * sampling.weight
    share = share / np.maximum(share.sum(axis=1, keepdims=True), 1e-300)
    turned = np.einsum("ns,sij->nij", share, sampling.turns[:, :2, :])
    g_xy = np.einsum("nij,nj->ni", turned, waves.g_lab[1:])
    mean_s = np.sum(share * waves.excitation_error[1:], axis=1)
    g_xy -= mean_s[:, None] * exposure.shadow.slope[None, :]
    return pixels_from_g(g_xy=g_xy, microscope=truth.microscope, centre_px=pose.centre_px)


def _draw_spots(
    image: NDArray[np.float32],
    truth: Truth,
    pose: Pose,
    exposure: Exposure,
    basis: ThicknessBasis,
    scattered: _Scattered,
    electrons: float,
) -> None:
    shapes = particle_spots(
        particle=truth.particle,
        axes_lab=exposure.axes_lab,
        microscope=truth.microscope,
        shift_nm=pose.shift_nm,
        basis=basis,
        modes=scattered.density.shape[1],
    )
    visible = electrons * scattered.fraction > _LEAST_ELECTRONS
    add_spots(
        image,
        coefficients=spot_coefficients(scattered.density[visible]),
        templates=shapes.templates,
        intensity=electrons * scattered.fraction[visible],
        position_px=scattered.position_px[visible],
        oversampling=shapes.oversampling,
    )


def _draw_direct_beam(image: NDArray[np.float32], truth: Truth, pose: Pose, electrons: float) -> None:
    shape = direct_beam_spot(truth.microscope)
    add_spots(
        image,
        coefficients=np.ones((1, 1)),
        templates=shape.templates,
        intensity=np.array([electrons]),
        position_px=np.array([pose.centre_px]),
        oversampling=shape.oversampling,
    )


def _mean_thickness(basis: ThicknessBasis | None) -> float:
    return 0.0 if basis is None else float(basis.weight @ basis.thickness_angstrom / basis.weight.sum())
