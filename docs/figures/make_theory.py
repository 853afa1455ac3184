"""Draw the figures of docs/theory.md: python docs/figures/make_theory.py"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("agg")
import matplotlib.pyplot as plt

from twin.physics.absorption import mean_free_path_angstrom
from twin.physics.bloch import BlochResult, bloch_amplitudes
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.kinematical import kinematical_amplitudes
from twin.physics.potential import potential_table
from twin.physics.structure_factors import potential_coefficients
from twin.physics.two_beam import blackman_ratio, two_beam_intensity
from validation.engines.problem import ENERGY_KEV, IN2O3, Problem, frame

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


if __name__ == "__main__":
    main()
