"""Figures of a refinement on frames: what each frame says, and R by strength of the reflections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.types import Refinement
from twin.physics.lattice import Floats
from validation.plots.style import ACCENT, INK, TREATMENT_COLOUR, TREATMENT_NAME, draw

Axs = NDArray[Any]


def frame_r_percent(refinement: Refinement) -> tuple[NDArray[np.int64], Floats]:
    """(frames, R(obs) in percent of each) of the frames that have observed reflections."""
    seen = refinement.observed & (refinement.frame >= 0)
    frame, f_obs = refinement.frame[seen], refinement.f_obs[seen]
    off = np.bincount(frame, weights=np.abs(f_obs - refinement.f_calc[seen]))
    whole = np.bincount(frame, weights=f_obs)
    frames = np.flatnonzero(whole > 0)
    return frames, np.asarray(100.0 * off[frames] / whole[frames])


def by_frame(refinement: Refinement, turn_deg: Floats | None) -> Figure:
    """R(obs), scale, turn from the orientation given and, where refined, thickness of every frame."""
    frames, r_percent = frame_r_percent(refinement)
    colour = TREATMENT_COLOUR.get(refinement.kind, INK)
    panels: list[tuple[str, list[tuple[Floats, str, str]]]] = [("R(obs) (%)", [(r_percent, colour, "")])]
    if refinement.frame_scale is not None:
        scale = refinement.frame_scale[frames]
        panels.append(("scale / median", [(np.asarray(scale / np.median(scale)), colour, "")]))
    if turn_deg is not None:
        pair = [(turn_deg[frames, 0], INK, "about x"), (turn_deg[frames, 1], ACCENT, "about y")]
        panels.append(("turn (°)", pair))
    if refinement.frame_thickness_nm is not None:
        panels.append(("thickness (nm)", [(refinement.frame_thickness_nm[frames], colour, "")]))

    def paint(axes: Axs) -> None:
        for ax, (label, curves) in zip(axes[:, 0], panels, strict=True):
            for values, shade, name in curves:
                ax.plot(frames + 1, values, "o-", ms=3, lw=0.9, color=shade, label=name)
            if len(curves) > 1:
                ax.legend(loc="best")
                ax.axhline(0.0, color=INK, lw=0.6)
            else:
                ax.set_ylim(0, None)
            ax.set_ylabel(label)
        axes[0, 0].set_title(f"By frame: {TREATMENT_NAME.get(refinement.kind, refinement.kind)}")
        axes[-1, 0].set_xlabel("frame")

    return draw(paint, width=7.2, height=1.6 * len(panels) + 0.5, rows=len(panels), sharex=True)


def by_strength(refinements: Sequence[Refinement], *, groups: int = 10) -> Figure:
    """R(all) of equally filled groups of F_o/σ(F)."""

    def paint(axes: Axs) -> None:
        ax: Axes = axes[0, 0]
        for r in refinements:
            strength = r.f_obs / np.maximum(r.sigma_f, 1e-300)
            order = np.array_split(np.argsort(strength), groups)
            parts = [p for p in order if len(p) and r.f_obs[p].sum() > 0]
            middle = [max(float(np.median(strength[p])), 0.1) for p in parts]
            r_all = [100.0 * float(np.abs(r.f_obs - r.f_calc)[p].sum() / r.f_obs[p].sum()) for p in parts]
            ax.plot(middle, r_all, "o-", ms=3.5, lw=1.2, color=TREATMENT_COLOUR.get(r.kind, INK),
                    label=TREATMENT_NAME.get(r.kind, r.kind))  # fmt: skip
        top = min(100.0, ax.get_ylim()[1])  # of reflections that are noise R says nothing
        ax.set(xscale="log", xlabel="$F_o$ / σ($F$)", ylabel="R(all) (%)", ylim=(0, top), title="By strength")
        ax.legend(loc="best")

    return draw(paint, width=5.6, height=3.3)
