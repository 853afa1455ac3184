"""Figures of the reduction: orientations, frame scales, rocking curves, sections through reciprocal space."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.types import MergedReflections, Refinement, Reflections
from twin.model.crystal import Cell
from twin.physics.lattice import Floats, Ints, miller_indices, reciprocal_matrix
from twin.physics.symmetry import operations
from validation.plots.frame_axis import FrameAxis
from validation.plots.style import ACCENT, DYNAMICAL, INK, MUTED, TREATMENT_COLOUR, TREATMENT_NAME, draw
from validation.score import OrientationScore

Axs = NDArray[Any]


def orientation_errors(*, score: OrientationScore, along: FrameAxis) -> Figure:
    """Misorientation of every frame against the truth, after one common rotation, with the absolute one behind."""

    def paint(axes: Axs) -> None:
        ax: Axes = axes[0, 0]
        x, size = along.values[: len(score.error_deg)], 4.0 if len(score.error_deg) < 200 else 2.0
        ax.plot(x, score.absolute_deg, "o", color=MUTED, mfc="white", ms=size, label="absolute")
        ax.vlines(x, 0, score.error_deg, color=DYNAMICAL, lw=0.3 * size)
        ax.plot(x, score.error_deg, "o", color=DYNAMICAL, ms=size, label="after one common rotation")
        ax.axhline(score.rms_error_deg, color=INK, lw=0.9, ls="--", label=f"rms {score.rms_error_deg:.3f}°")
        top = 1.25 * max(float(np.nanmax(score.absolute_deg)), float(np.nanmax(score.error_deg)), 1e-6)
        ax.set(xlabel=along.label, ylabel="misorientation (°)", ylim=(0, top))
        if not along.joined:  # single stills can be altogether wrong
            ax.axhline(score.median_error_deg, color=INK, lw=0.9, label=f"median {score.median_error_deg:.3f}°")
            ax.set(yscale="log", ylim=(1e-3, 1e3))
        ax.legend(loc="upper center", ncols=3, columnspacing=1.2, handletextpad=0.4)

    return draw(paint, width=6.0, height=3.0)


def frame_scales(*, reflections: Reflections | None, refinements: tuple[Refinement, ...], along: FrameAxis) -> Figure:
    """Scale of every frame (each list divided by its median): from the reduction and from frame-wise refinements."""
    curves = [] if reflections is None else [("reduction", INK, reflections.frame_scale)]
    curves += [
        (TREATMENT_NAME.get(r.kind, r.kind), TREATMENT_COLOUR.get(r.kind, MUTED), r.frame_scale)
        for r in refinements
        if r.frame_scale is not None
    ]

    def paint(axes: Axs) -> None:
        ax: Axes = axes[0, 0]
        for name, colour, scale in curves:
            values = np.asarray(scale, dtype=np.float64)
            good = np.isfinite(values) & (values > 0)
            if good.any():
                n = min(len(values), len(along.values))
                relative = np.where(good, values, np.nan)[:n] / np.median(values[good])
                ax.plot(along.values[:n], relative, along.style, ms=3, lw=1, color=colour, label=name)
        ax.axhline(1.0, color=MUTED, lw=0.8)
        ax.set(xlabel=along.label, ylabel="frame scale / median")
        ax.set_ylim(0, None)
        ax.margins(y=0.2)
        ax.legend(loc="lower left", ncols=3)

    return draw(paint, width=6.0, height=3.0)


def rocking_candidates(reflections: Reflections, *, count: int = 6) -> list[tuple[int, int, int]]:
    """Well-sampled strong reflections: those recorded on most frames, then by summed I/σ; as hkl."""
    hkl, inverse = np.unique(reflections.hkl, axis=0, return_inverse=True)
    inverse = inverse.ravel()
    frames = np.bincount(inverse)
    significance = np.clip(reflections.intensity / np.maximum(reflections.sigma, 1e-9), 0, 50)
    strength = np.bincount(inverse, weights=significance)
    wanted = frames >= min(5, int(frames.max()))
    order = np.argsort(np.where(wanted, -strength, np.inf), kind="stable")
    chosen: list[tuple[int, int, int]] = []
    for i in order:
        h = (int(hkl[i, 0]), int(hkl[i, 1]), int(hkl[i, 2]))
        if (-h[0], -h[1], -h[2]) not in chosen and not any(np.all(np.cross(h, c) == 0) for c in chosen):
            chosen.append(h)
        if len(chosen) == count:
            break
    return chosen


def rocking_curves(*, reflections: Reflections, count: int = 6) -> Figure:
    """Integrated intensity against excitation error, one panel a reflection, each point one frame with ±1σ.

    Intensities are divided by the frame's scale.
    """
    chosen = rocking_candidates(reflections, count=count)

    def paint(axes: Axs) -> None:
        for ax in axes.flat:
            ax.set_visible(False)
        for ax, h in zip(axes.flat, chosen, strict=False):
            ax.set_visible(True)
            own = np.flatnonzero(np.all(reflections.hkl == h, axis=1))
            own = own[np.argsort(reflections.excitation_error_per_angstrom[own])]
            s = 1e3 * reflections.excitation_error_per_angstrom[own]
            scale = reflections.frame_scale[reflections.frame[own]]
            intensity, sigma = reflections.intensity[own] / scale, reflections.sigma[own] / scale
            top = max(float(np.max(intensity)), 1e-9)
            ax.errorbar(s, intensity / top, yerr=sigma / top, fmt="o-", ms=3.5, lw=1,
                        color=DYNAMICAL, ecolor=MUTED, elinewidth=0.8)  # fmt: skip
            ax.axhline(0, color=MUTED, lw=0.8)
            ax.set_title(" ".join(str(x).replace("-", "−") for x in h))
            ax.margins(x=0.1)
        for ax in axes[-1]:
            ax.set_xlabel("s (10⁻³ Å⁻¹)")
        for ax in axes[:, 0]:
            ax.set_ylabel("I / I max")

    return draw(paint, width=11.2, height=2.3, columns=6, sharey=True)


SECTIONS = (("hk0", (0, 1), 2), ("h0l", (0, 2), 1), ("0kl", (1, 2), 0))


def sections(*, merged: MergedReflections, cell: Cell) -> Figure:
    """The three principal sections: averaged data spread over the Laue class; area of a dot grows with |F|."""
    hkl, amplitude = _expanded(merged)
    b = reciprocal_matrix(cell)
    everything = miller_indices(reciprocal=b, g_max_per_angstrom=merged.g_max_per_angstrom)[1:]
    top = float(np.quantile(amplitude, 0.998)) if len(amplitude) else 1.0

    def paint(axes: Axs) -> None:
        for ax, (name, (i, j), zero) in zip(axes[0], SECTIONS, strict=True):
            first = b[:, i] / np.linalg.norm(b[:, i])
            second = b[:, j] - (b[:, j] @ first) * first
            plane = np.stack([first, second / np.linalg.norm(second)])
            lattice = everything[everything[:, zero] == 0] @ b.T @ plane.T
            ax.plot(*lattice.T, ".", color="#c3ccd4", ms=1.2, zorder=1)
            own = hkl[:, zero] == 0
            x, y = (hkl[own] @ b.T @ plane.T).T
            area = 46 * np.clip(amplitude[own] / top, 0, 1.3)
            ax.scatter(x, y, s=area, color=INK, lw=0, zorder=3)
            ax.plot(0, 0, "+", color=ACCENT, ms=7)
            limit = 1.03 * merged.g_max_per_angstrom
            ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xlabel="Å⁻¹")
            ax.set_title(name)
            ax.grid(False)

    return draw(paint, width=11.2, height=4.1, columns=3, sharey=True)


def _expanded(merged: MergedReflections) -> tuple[Ints, Floats]:
    """hkl (m, 3) under the Laue class of the merging and |F| (m,), duplicates dropped; negative intensities as 0."""
    rotations = np.unique(operations(merged.hall).rotations.reshape(-1, 9), axis=0).reshape(-1, 3, 3)
    rotations = np.concatenate([rotations, -rotations])
    images = np.einsum("ni,mij->nmj", merged.hkl, rotations).reshape(-1, 3)
    amplitude = np.repeat(np.sqrt(np.clip(merged.intensity, 0, None)), len(rotations))
    unique, first = np.unique(images, axis=0, return_index=True)
    return unique, amplitude[first]
