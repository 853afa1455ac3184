"""Draw the figures of docs/theory.md: python docs/figures/make_theory.py"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("agg")
import matplotlib.pyplot as plt

from twin.model.plan import Plan
from twin.model.specimen import Membrane, Particle
from twin.model.truth import Truth
from twin.physics.absorption import mean_free_path_angstrom
from twin.physics.bloch import BlochResult, bloch_amplitudes
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.kinematical import kinematical_amplitudes
from twin.physics.lattice import rotation_matrix
from twin.physics.potential import potential_table
from twin.physics.structure_factors import potential_coefficients
from twin.physics.two_beam import blackman_ratio, two_beam_intensity
from twin.simulate import Engine, expected_electrons
from twin.specimen.motion import make_poses
from twin.specimen.mounting import as_matrix3
from twin.specimen.shapes import body_axes, columns
from validation.engines.problem import ENERGY_KEV, IN2O3, Problem, frame
from validation.reference import BROOKITE, microscope

HERE = Path(__file__).parent
NODES = np.linspace(5.0, 800.0, 60)


def waves(problem: Problem, *, absorption: bool) -> BlochResult:
    """Frame of In2O3 at all thicknesses."""
    return bloch_amplitudes(
        crystal=IN2O3,
        reciprocal_lab=problem.reciprocal_lab,
        directions=problem.directions,
        energy_kev=ENERGY_KEV,
        thickness_angstrom=NODES,
        g_max_per_angstrom=1.6,
        s_max_per_angstrom=0.03,
        table=potential_table(crystal=IN2O3, energy_kev=ENERGY_KEV, g_max_per_angstrom=1.6, absorption=absorption),
        dtype=np.float32,
    )


def main() -> None:
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.4), layout="constrained")
    two_beam(axes[0], axes[1])
    many_beams(axes[2], axes[3])
    figure.savefig(HERE / "theory_engines.png", dpi=110)
    figure, axes = plt.subplots(1, 5, figsize=(15, 3.5), layout="constrained")
    thickness_map(axes[0])
    patterns(axes[1:])
    figure.savefig(HERE / "theory_patterns.png", dpi=110)


def two_beam(rocking: plt.Axes, blackman: plt.Axes) -> None:
    w = np.linspace(-8, 8, 801)
    for t in (0.25, 0.5, 1.5):
        intensity = two_beam_intensity(extinction_angstrom=1.0, excitation_error=w, thickness_angstrom=t)
        rocking.plot(w, intensity, label=f"t = {t} ξ")
    rocking.set(xlabel="w = s ξ", ylabel="|ψ_g|²", title="two beams")
    t = np.linspace(1e-3, 2.0, 300)
    blackman.plot(t, blackman_ratio(extinction_angstrom=1.0, thickness_angstrom=t))
    blackman.set(xlabel="t / ξ", ylabel="integrated / kinematical", title="Blackman", ylim=(0, 1.05))
    rocking.legend(fontsize=8)


def many_beams(intensities: plt.Axes, total: plt.Axes) -> None:
    problem = frame(IN2O3, thickness_angstrom=100.0, azimuths=128)
    elastic, lossy = waves(problem, absorption=False), waves(problem, absorption=True)
    mean = (np.abs(elastic.amplitudes) ** 2).mean(axis=2)
    u = potential_coefficients(crystal=IN2O3, hkl=elastic.hkl, energy_kev=ENERGY_KEV)
    single = kinematical_amplitudes(
        potential=u,
        excitation_error=elastic.excitation_error,
        wavenumber_per_angstrom=wavenumber_per_angstrom(energy_kev=ENERGY_KEV),
        thickness_angstrom=NODES,
    )
    kinematical = (np.abs(single) ** 2).mean(axis=2)
    s = elastic.excitation_error
    whole = (s.min(axis=1) < -0.005) & (s.max(axis=1) > 0.005) & (np.abs(u) > 0)
    whole[0] = False
    strongest = np.flatnonzero(whole)[np.argsort(kinematical[0, whole])[::-1][[0, 2, 8]]]
    for row in strongest:
        (line,) = intensities.plot(NODES / 10, mean[:, row], label=" ".join(map(str, elastic.hkl[row])))
        intensities.plot(NODES / 10, kinematical[:, row], "--", color=line.get_color(), lw=0.9)
    intensities.set(xlabel="thickness / nm", ylabel="mean |ψ_g|²", title="In2O3, 1.2°: many beams (- - single)")
    intensities.set_ylim(0, 1.3 * float(mean[:, strongest].max()))
    intensities.legend(fontsize=8)
    norm = (np.abs(lossy.amplitudes) ** 2).sum(axis=1).mean(axis=1)
    path = mean_free_path_angstrom(crystal=IN2O3, energy_kev=ENERGY_KEV)
    total.plot(NODES / 10, norm, label="many beams")
    total.plot(NODES / 10, np.exp(-NODES / path), "--", label="exp(−t / mean free path)")
    total.set(xlabel="thickness / nm", ylabel="Σ|ψ|²", title="thermal diffuse absorption", ylim=(0, 1.02))
    total.legend(fontsize=8)


def rod(*, bending_deg_per_nm: float = 0.0) -> Truth:
    """A brookite rod of 7 nm × 14 nm that leans by 15° out of the plane, precessed by 0.8°; no support."""
    plan = Plan(mode="precession", start_deg=0.0, step_deg=1.0, frame_count=1, exposure_s=1.0, precession_deg=0.8)
    down = rotation_matrix(axis=[0.0, 1.0, 0.0], angle_deg=75.0)
    lying = down @ rotation_matrix(axis=[0.0, 0.0, 1.0], angle_deg=97.0)
    particle = Particle(
        shape="rod", size_nm=(7.0, 7.0, 14.0), mounting=as_matrix3(lying), bending_deg_per_nm=bending_deg_per_nm
    )
    scope = microscope(size_px=256, per_px=0.009, diameter_nm=30.0, tilt_axis_deg=0.0)
    return Truth(
        crystal=BROOKITE,
        particle=particle,
        membrane=Membrane(material="none"),
        microscope=scope,
        plan=plan,
        poses=make_poses(plan=plan, tilt_axis_deg=0.0, centre_px=(127.5, 127.5), seed=1),
        seed=1,
    )


def thickness_map(axis: plt.Axes) -> None:
    truth = rod()
    lab = np.array(truth.particle.mounting) @ body_axes(truth.particle, truth.crystal.cell)
    x = np.linspace(-90.0, 90.0, 241)
    cut = columns(particle=truth.particle, axes_lab=lab, x_angstrom=x[None, :], y_angstrom=x[:, None])
    shown = axis.imshow(0.1 * cut.thickness_angstrom, extent=(-9, 9, 9, -9), cmap="viridis")
    plt.colorbar(shown, ax=axis, shrink=0.8, label="thickness / nm")
    axis.set(xlabel="x / nm", ylabel="y / nm", title="brookite rod, columns")


def patterns(axes: Sequence[plt.Axes]) -> None:
    """The same exposure by every forward engine, and bent."""
    engine = Engine(g_max_per_angstrom=1.0, s_max_per_angstrom=0.03, azimuth_steps=16, absorption=False)
    cases = (
        ("single scattering", "kinematical", 0.0),
        ("Bloch waves in columns", "bloch", 0.0),
        ("multislice on atoms", "multislice", 0.0),
        ("Bloch waves, bent by 3.5°", "bloch", 0.25),
    )
    for axis, (title, kind, bending) in zip(axes, cases, strict=True):
        truth = rod(bending_deg_per_nm=bending)
        made = expected_electrons(truth=truth, pose=truth.poses[0], engine=replace(engine, kind=kind))
        axis.imshow(np.sqrt(np.clip(made.image, 0.0, 400.0)), cmap="magma")
        axis.set(title=title, xticks=[], yticks=[])


if __name__ == "__main__":
    main()
