"""A run that never was: kinematical spots of brookite with known errors put in, for scores, summary and report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.types import MergedReflections, Orientation, Peaks, Refinement, Reflections, Solution
from twin.model.dataset import Dataset
from twin.model.instrument import Beam, Detector, Microscope, Projection
from twin.model.plan import Plan
from twin.model.specimen import Membrane, Particle, Pose
from twin.model.truth import Truth
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.ewald import excitation_errors
from twin.physics.lattice import (
    cell_from_reciprocal_matrix,
    miller_indices,
    reciprocal_matrix,
    rotation_matrix,
    tilt_axis_vector,
)
from twin.physics.projection import pixels_from_g
from twin.physics.structure_factors import structure_factors
from twin.physics.symmetry import asymmetric_hkl, systematically_absent
from validation import reference
from validation.reference import with_displacement
from validation.view import RunView, TruthIntensities

PRECESSION_DEG = 1.2
G_MAX = 1.4
BROOKITE = with_displacement(reference.BROOKITE, 0.005)


def _matrix(array):
    return tuple(tuple(float(x) for x in row) for row in array)


def _microscope(size_px, **projection):
    return Microscope(
        name="fake",
        beam=Beam(energy_kev=200.0, diameter_nm=100.0, flux_e_per_angstrom2_s=24.0),
        detector=Detector(name="fake", fast_px=size_px, slow_px=size_px, pixel_size_um=55.0, counts_per_electron=3.0),
        projection=Projection(
            **{
                "camera_length_mm": 0.46 * size_px / G_MAX * 55e-3 * wavenumber_per_angstrom(energy_kev=200.0),
                "centre_fast_px": 0.5 * size_px,
                "centre_slow_px": 0.5 * size_px,
                "tilt_axis_deg": 32.0,
            }
            | projection
        ),
    )


def _truth(size_px, frames, rng):
    plan = Plan(mode="precession", start_deg=-40.0, step_deg=80.0 / frames, frame_count=frames, exposure_s=1.0,
                precession_deg=PRECESSION_DEG)  # fmt: skip
    mounting = rotation_matrix(axis=(1.0, 2.0, -0.5), angle_deg=63.0)
    axis = tilt_axis_vector(33.0)
    poses = []
    for f in plan.frames():
        jitter = rotation_matrix(axis=rng.normal(size=3), angle_deg=0.05 * rng.normal())
        turn = _matrix(jitter @ rotation_matrix(axis=axis, angle_deg=f.alpha_start_deg))
        centre = tuple(0.5 * size_px + rng.normal(size=2))
        poses.append(
            Pose(index=f.index, rotation_start=turn, rotation_end=turn, precession_deg=PRECESSION_DEG, exposure_s=1.0,
                 shift_nm=(0.0, 0.0), centre_px=centre)
        )  # fmt: skip
    return Truth(
        crystal=BROOKITE,
        particle=Particle(shape="rod", size_nm=(30.0, 30.0, 70.0), mounting=_matrix(mounting)),
        membrane=Membrane(material="carbon", thickness_nm=10.0),
        microscope=_microscope(size_px, tilt_axis_deg=33.0),
        plan=plan,
        poses=tuple(poses),
        seed=1,
    )


def _frame_reflections(truth):
    """hkl, frame, s, position, electrons of every reflection that the cone sweeps."""
    ub = np.array(truth.particle.mounting) @ reciprocal_matrix(truth.crystal.cell)
    hkl = miller_indices(reciprocal=ub, g_max_per_angstrom=G_MAX)[1:]
    hkl = hkl[~systematically_absent(hkl, truth.crystal.hall)]
    strength = np.abs(structure_factors(crystal=truth.crystal, hkl=hkl)) ** 2
    k = wavenumber_per_angstrom(energy_kev=200.0)
    rows = []
    for pose in truth.poses:
        g = hkl @ (np.array(pose.rotation_start) @ ub).T
        s = excitation_errors(g_lab=g, directions=[[0.0, 0.0, 1.0]], wavenumber_per_angstrom=k)[:, 0]
        half = np.linalg.norm(g[:, :2], axis=1) * np.radians(PRECESSION_DEG)
        inside = np.abs(s) < 0.97 * half
        camel = 1.0 / np.sqrt(half**2 - s**2, where=inside, out=np.ones_like(s))
        where = pixels_from_g(g_xy=g[:, :2], microscope=truth.microscope, centre_px=pose.centre_px)
        keep = np.flatnonzero(inside)
        electrons = 3.0 * strength[keep] * camel[keep]
        rows.append((hkl[keep], np.full(len(keep), pose.index), s[keep], where[keep], electrons))
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def _counts(truth, frame, where, electrons, rng):
    size = truth.microscope.detector.fast_px
    y, x = np.mgrid[:size, :size].astype(float)
    counts = np.empty((len(truth.poses), size, size), dtype=np.uint32)
    for f, pose in enumerate(truth.poses):
        r = np.hypot(x - pose.centre_px[0], y - pose.centre_px[1]) / size
        image = 3.0 + 60.0 * np.exp(-(((r - 0.16) / 0.05) ** 2)) + 300.0 * np.exp(-r / 0.05)
        image += 6e4 * np.exp(-((r * 200) ** 2))
        for (px, py), total in zip(where[frame == f], electrons[frame == f], strict=True):
            x0, y0 = int(px), int(py)
            window = np.s_[max(y0 - 5, 0) : y0 + 7, max(x0 - 5, 0) : x0 + 7]
            d2 = (x[window] - px) ** 2 + (y[window] - py) ** 2
            image[window] += total * np.exp(-d2 / 2) / (2 * np.pi)
        counts[f] = rng.poisson(image)
    return counts


def _refinement(kind, crystal, shift_angstrom, reflections, spread, rng):
    moved, lengths = [], np.array(crystal.cell.parameters[:3])
    for site in crystal.sites:
        step = rng.normal(size=3)
        step *= shift_angstrom / np.linalg.norm(step) * rng.uniform(0.5, 1.0)
        moved.append(replace(site, fract=tuple(np.array(site.fract) + step / lengths)))
    hkl = reflections.hkl
    if kind == "kinematical_averaged":
        hkl = np.unique(asymmetric_hkl(hkl, crystal.hall), axis=0)
    f_calc = np.abs(structure_factors(crystal=crystal, hkl=hkl))
    noise = rng.normal(size=(2, len(f_calc)))
    f_obs = np.abs(f_calc * (1 + spread * noise[0]) + 0.02 * f_calc.max() * noise[1])
    r = 100 * np.sum(np.abs(f_obs - f_calc)) / np.sum(f_obs)
    sigma = 0.03 * f_calc.max() * np.ones_like(f_obs)
    observed = f_obs > 3 * sigma / 2
    frames = int(reflections.frame.max()) + 1
    return Refinement(
        kind=kind, crystal=replace(crystal, sites=tuple(moved)), parameters=13, reflections_all=len(hkl),
        reflections_obs=int(observed.sum()), r_obs_percent=r, r_all_percent=1.1 * r, wr_all_percent=2 * r, gof_obs=1.9,
        hkl=hkl, frame=reflections.frame if len(hkl) == len(reflections.frame) else np.full(len(hkl), -1),
        f_obs=f_obs, f_calc=f_calc, sigma_f=sigma, observed=observed,
        standard_uncertainties={f"{s.label}.{x}": 0.0004 for s in crystal.sites for x in "xyz"}, cycles=9,
        thickness_nm=29.4 if kind == "dynamical" else None, rotation=None,
        frame_scale=rng.normal(1.0, 0.05, size=frames) if kind in ("dynamical", "kinematical_frame_based") else None,
        verdict="Converged: the largest shift fell below 0.01 s.u. after 9 cycles.",
    )  # fmt: skip


def _density(crystal, shape=(48, 28, 26)):
    hkl = miller_indices(reciprocal=reciprocal_matrix(crystal.cell), g_max_per_angstrom=G_MAX)
    grid = np.zeros(shape, dtype=complex)
    grid[tuple((-hkl % np.array(shape)).T)] = structure_factors(crystal=crystal, hkl=hkl)
    return np.fft.ifftn(grid).real * np.prod(shape)


def make_fake_run(*, size_px=128, frames=12, ub_error=0.0, jitter_deg=0.03, scale=1.01):
    rng = np.random.default_rng(7)
    truth = _truth(size_px, frames, rng)
    hkl, frame, s, where, electrons = _frame_reflections(truth)
    nominal = _microscope(size_px)
    counts = _counts(truth, frame, where, electrons, rng)
    alpha = np.array([p.alpha_start_deg for p in truth.plan.frames()])
    dataset = Dataset(counts=counts, alpha_start_deg=alpha, alpha_end_deg=alpha, exposure_s=np.ones(frames),
                      bad_pixels=np.zeros(counts.shape[1:], dtype=bool), microscope=nominal, mode="precession",
                      precession_deg=PRECESSION_DEG, name="fake")  # fmt: skip
    ub = np.array(truth.particle.mounting) @ reciprocal_matrix(BROOKITE.cell) / scale
    ub = ub @ np.diag([1.0 + ub_error, 1.0, 1.0])
    rotation = np.array([
        rotation_matrix(axis=rng.normal(size=3), angle_deg=jitter_deg * rng.normal()) @ np.array(p.rotation_start)
        for p in truth.poses
    ])  # fmt: skip
    intensity = 3.0 * electrons * (1 + 0.05 * rng.normal(size=len(electrons)))
    sigma = np.sqrt(np.abs(intensity) + 50.0)
    reflections = Reflections(hkl=hkl, frame=frame, intensity=intensity, sigma=sigma, fast_px=where[:, 0],
                              slow_px=where[:, 1], excitation_error_per_angstrom=s,
                              swept_fraction=np.ones(len(hkl)), frame_scale=rng.normal(1.0, 0.04, size=frames),
                              precession_deg=PRECESSION_DEG)  # fmt: skip
    unique, count = np.unique(asymmetric_hkl(hkl, BROOKITE.hall), axis=0, return_counts=True)
    merged_i = np.abs(structure_factors(crystal=BROOKITE, hkl=unique)) ** 2 * rng.normal(1.0, 0.15, size=len(unique))
    found = intensity > 8 * sigma
    return RunView(
        scenario="fake-brookite", title="Brookite rod, precession (made for the tests)", seed=1, engine="kinematical",
        timings_s={"simulate": 60.0, "acquire": 5.0, "reduce": 21.0, "solve": 9.0, "refine_kinematical": 1.2,
                   "refine_dynamical": 140.0, "total": 237.0},
        study={
            "row": "CNRS-01",
            "data": {"completeness_percent": 87.1, "averaged_all": 328, "averaged_obs": 312, "redundancy": 4.46,
                     "r_int_percent": 16.2},
            "kinematical": {"parameters": 13, "r_obs_percent": 17.03, "r_all_percent": 17.80,
                            "mean_distance_angstrom": 0.0108, "max_distance_angstrom": 0.0162},
            "dynamical": {"reflections_all": 3611, "reflections_obs": 3110, "parameters": 105, "r_obs_percent": 6.63,
                          "r_all_percent": 7.07, "mean_distance_angstrom": 0.0079, "max_distance_angstrom": 0.0127},
        },
        truth=truth, dataset=dataset,
        truth_intensities=TruthIntensities(hkl=hkl, frame=frame, electrons=electrons),
        peaks=Peaks(frame=frame[found], fast_px=where[found, 0] + 0.2 * rng.normal(size=found.sum()),
                    slow_px=where[found, 1] + 0.2 * rng.normal(size=found.sum()), intensity=intensity[found],
                    sigma=sigma[found]),
        orientation=Orientation(cell=cell_from_reciprocal_matrix(ub), ub=ub, rotation=rotation,
                                centre_px=np.array([p.centre_px for p in truth.poses]), microscope=nominal,
                                indexed=np.ones(frames, dtype=bool), hall="-P 2 2", centring="P",
                                indexed_peaks_fraction=0.97, notes=("Sense of rotation: sure (12 σ).",)),
        reflections=reflections,
        merged=MergedReflections(hkl=unique, intensity=merged_i, sigma=0.02 * merged_i + 0.1, multiplicity=count,
                                 hall="-P 2 2", r_int_percent=13.1, completeness_percent=88.0, redundancy=4.4,
                                 g_max_per_angstrom=G_MAX),
        solution=Solution(solved=True, crystal=BROOKITE, space_group="P b c a",
                          candidates=(("P b c a", 0.93), ("P b c 21", 0.41), ("P 21/c", 0.40)), residual=0.12,
                          verdict="Solved in Pbca: every atom of TiO2 is in the density.", density=_density(BROOKITE)),
        refinements=(
            _refinement("kinematical_averaged", BROOKITE, 0.03, reflections, 0.15, rng),
            _refinement("kinematical_frame_based", BROOKITE, 0.025, reflections, 0.13, rng),
            _refinement("dynamical", BROOKITE, 0.009, reflections, 0.06, rng),
        ),
    )  # fmt: skip


@pytest.fixture(scope="session")
def fake_run():
    return make_fake_run()


@pytest.fixture(scope="session")
def fake_run_factory():
    return make_fake_run
