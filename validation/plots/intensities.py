"""Figures of intensities: F_o against F_c by treatment, and measured against true intensities."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.types import Refinement
from twin.physics.lattice import Floats, Ints, reciprocal_matrix
from validation.plots.frame_axis import FrameAxis
from validation.plots.style import DYNAMICAL, INK, MUTED, TREATMENT_COLOUR, TREATMENT_NAME, TRUTH, draw
from validation.score import IntensityScore

Axs = NDArray[Any]


def fo_fc(refinements: tuple[Refinement, ...]) -> Figure:
    """|F_o| against |F_c| (each divided by the largest), one panel a treatment; weak reflections (I ≤ 3σ) in grey.

    The axes are square-root scales: most amplitudes are far smaller than the largest.
    """

    def paint(axes: Axs) -> None:
        for ax, r in zip(axes[0], refinements, strict=True):
            top = float(max(r.f_obs.max(initial=0), r.f_calc.max(initial=0))) or 1.0
            weak = ~r.observed
            ax.plot(r.f_calc[weak] / top, r.f_obs[weak] / top, ".", ms=2.5, color="#9aa5b0", rasterized=True)
            ax.plot(r.f_calc[~weak] / top, r.f_obs[~weak] / top, ".", ms=3, alpha=0.5, rasterized=True,
                    color=TREATMENT_COLOUR.get(r.kind, INK), mew=0)  # fmt: skip
            ax.plot([0, 1], [0, 1], color=INK, lw=0.8)
            ax.set_title(TREATMENT_NAME.get(r.kind, r.kind))
            ax.text(0.05, 0.96, f"R(obs) {r.r_obs_percent:.2f} %\n{r.reflections_obs} of {r.reflections_all}",
                    transform=ax.transAxes, va="top", fontsize=8.5)  # fmt: skip
            for axis in ("x", "y"):
                getattr(ax, f"set_{axis}scale")("function", functions=(_root, np.square))
                getattr(ax, f"set_{axis}ticks")((0.01, 0.1, 0.25, 0.5, 0.75, 1.0))
            ax.xaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_major_formatter("{x:g}")
            ax.set(xlim=(0, 1.03), ylim=(0, 1.03), xlabel="$|F_c|$ / max")
            ax.set_box_aspect(1)
        axes[0, 0].set_ylabel("$|F_o|$ / max")

    count = len(refinements)
    return draw(paint, width=max(3.3 * count, 6.6) + 0.4, height=3.8, columns=count, sharey=True)


def _root(values: Floats) -> Floats:
    return np.sqrt(np.clip(values, 0.0, None))


def residuals(refinements: tuple[Refinement, ...], along: FrameAxis | None) -> Figure:
    """R on observed reflections by resolution, and by frame for the treatments that keep the frames apart."""
    by_frame = [r for r in refinements if np.any(r.frame >= 0)] if along is not None else []

    def paint(axes: Axs) -> None:
        for r in refinements:
            g = np.linalg.norm(r.hkl @ reciprocal_matrix(r.crystal.cell).T, axis=1)
            edges = np.linspace(0.0, float(g.max(initial=0.1)) + 1e-9, 11)
            middle = 0.5 * (edges[1:] + edges[:-1])
            _residual_curve(axes[0, 0], r, np.digitize(g, edges) - 1, middle)
        axes[0, 0].set(xlabel="|g| = 1/d (Å⁻¹)", ylabel="R(obs) (%)", ylim=(0, None), title="By resolution")
        axes[0, 0].legend(loc="best")
        for r in by_frame:
            assert along is not None
            _residual_curve(axes[0, 1], r, r.frame, along.values, style=along.style)
        if by_frame and along is not None:
            axes[0, 1].set(xlabel=along.label, ylim=(0, None), title="By frame")

    columns = 2 if by_frame else 1
    return draw(paint, width=5.6 * columns, height=3.3, columns=columns, sharey=True)


def _residual_curve(
    ax: Axes, refinement: Refinement, group: Ints, position: Floats, *, style: str = "o-"
) -> None:
    """Σ||F_o|−|F_c||/Σ|F_o| of the observed reflections of each group (%), where there are at least five."""
    own = refinement.observed & (group >= 0) & (group < len(position))
    f_obs, f_calc, which = refinement.f_obs[own], refinement.f_calc[own], group[own]
    difference = np.bincount(which, weights=np.abs(f_obs - f_calc), minlength=len(position))
    total = np.bincount(which, weights=f_obs, minlength=len(position))
    enough = (np.bincount(which, minlength=len(position)) >= 5) & (total > 0)
    r_percent = 100 * np.divide(difference, total, where=enough, out=np.full(len(position), np.nan))
    colour, name = TREATMENT_COLOUR.get(refinement.kind, INK), TREATMENT_NAME.get(refinement.kind, refinement.kind)
    ax.plot(position[enough], r_percent[enough], style, ms=3.5, lw=1.2, color=colour, label=name)


def against_truth(*, integrated: IntensityScore | None, averaged: IntensityScore | None) -> Figure:
    """Logarithmic scatter: integrated intensities against arriving electrons; averaged against kinematical |F|²."""
    panels: list[tuple[IntensityScore, str, str, str]] = []
    if integrated is not None:
        panels.append((integrated, "Integrated, frame by frame", "true electrons", TRUTH))
    if averaged is not None:
        panels.append((averaged, "Averaged", "kinematical |F|² (Å²)", DYNAMICAL))

    def paint(axes: Axs) -> None:
        for ax, (score, title, label, colour) in zip(axes[0], panels, strict=True):
            _loglog(ax, score, colour)
            ax.set_title(title)
            ax.set(xlabel=label, ylabel="measured, on the same scale")
            ax.text(0.05, 0.96, f"CC {score.cc:.4f}\nR {score.r_percent:.1f} %", transform=ax.transAxes, va="top")

    return draw(paint, width=4.4 * len(panels) + 0.2, height=4.2, columns=len(panels))


def _loglog(ax: Axes, score: IntensityScore, colour: str) -> None:
    top = float(max(score.truth.max(), score.measured.max()))
    floor = top * 1e-5
    x, y = np.maximum(score.truth, floor), np.maximum(score.measured, floor)
    ax.plot(x, y, ".", ms=3, alpha=0.45, color=colour, mew=0, rasterized=True)
    ax.plot([floor, top], [floor, top], color=INK, lw=0.8)
    ax.set(xscale="log", yscale="log", xlim=(0.7 * floor, 1.6 * top), ylim=(0.7 * floor, 1.6 * top), aspect="equal")
    ax.tick_params(colors=MUTED)
