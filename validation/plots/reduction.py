"""What a crystallographer looks at after a reduction: spots, axis, cell, residuals, frames, rocking curve, shells."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pipeline.reduction.assemble import ReducedSeries
from pipeline.reduction.geometry import Geometry, predicted_px, with_plain_optics
from pipeline.reduction.indexing import points_at_zero_tilt
from pipeline.reduction.lattice import spot_sigma_px
from pipeline.reduction.reciprocal_map import ReciprocalMap
from validation.plots.geometry import SECTIONS
from validation.plots.style import ACCENT, DYNAMICAL, INK, MUTED, draw

Axs = NDArray[Any]
Floats = NDArray[np.float64]


def _indexed(reduced: ReducedSeries) -> NDArray[np.bool_]:
    return np.asarray(np.any(reduced.peak_hkl != 0, axis=1))


def spots_by_frame(reduced: ReducedSeries) -> Figure:
    """Spots found and indexed on each frame, and how far they reach."""
    p, alpha = reduced.peaks, reduced.fit.geometry.alpha_deg
    good = _indexed(reduced)
    g = np.linalg.norm(points_at_zero_tilt(peaks=p, geometry=reduced.fit.geometry), axis=1)
    reach = [float(np.quantile(g[p.frame == f], 0.95)) if np.any(p.frame == f) else np.nan for f in range(len(alpha))]

    def paint(axes: Axs) -> None:
        every = np.bincount(p.frame, minlength=len(alpha))
        axes[0, 0].plot(alpha, every, color=MUTED, label="found")
        axes[0, 0].plot(alpha, np.bincount(p.frame[good], minlength=len(alpha)), color=DYNAMICAL, label="indexed")
        axes[0, 0].set(xlabel="stage angle α (°)", ylabel="spots on a frame", ylim=(0, None))
        axes[0, 0].legend()
        axes[0, 1].plot(alpha, reach, color=INK)
        axes[0, 1].set(xlabel="stage angle α (°)", ylabel="|g| of 95 % of the spots (Å⁻¹)", ylim=(0, None))

    return draw(paint, width=11.0, height=3.2, columns=2)


def cylinder(reduced: ReducedSeries) -> Figure:
    """Cylindrical projection about the tilt axis: angle about it against height along it; lines show a good axis."""
    geometry = reduced.fit.geometry
    points = points_at_zero_tilt(peaks=reduced.peaks, geometry=geometry)
    phi = np.radians(geometry.microscope.projection.tilt_axis_deg)
    along, across = np.array([np.cos(phi), np.sin(phi), 0.0]), np.array([-np.sin(phi), np.cos(phi), 0.0])
    height, x = points @ along, points @ across
    angle = np.degrees(np.arctan2(points[:, 2], x)) % 180.0
    height = np.where(np.degrees(np.arctan2(points[:, 2], x)) % 360.0 < 180.0, height, -height)
    trials = reduced.axis_trials[np.argsort(reduced.axis_trials[:, 0])]
    best = float(trials[int(np.argmax(trials[:, 1])), 0])
    refined = best + (geometry.microscope.projection.tilt_axis_deg - best + 180.0) % 360.0 - 180.0

    def paint(axes: Axs) -> None:
        axes[0, 0].plot(angle, height, ".", ms=1.6, color=INK, alpha=0.5, rasterized=True)
        axes[0, 0].set(xlabel="angle about the axis (°)", ylabel="height along the axis (Å⁻¹)", xlim=(0, 180))
        axes[0, 1].plot(trials[:, 0], trials[:, 1], ".-", color=DYNAMICAL, ms=4, lw=0.8)
        axes[0, 1].axvline(refined, color=ACCENT, lw=1.0, ls="--")
        axes[0, 1].set(xlabel="trial azimuth (°)", ylabel="contrast of the lattice", yscale="log")

    return draw(paint, width=11.0, height=3.6, columns=2)


def difference_vectors(reduced: ReducedSeries, *, reach: float = 0.45, most: int = 4000) -> Figure:
    """Clusters of difference vectors of neighbouring spots at tilt 0, along the three reciprocal axes of the cell."""
    points = points_at_zero_tilt(peaks=reduced.peaks, geometry=reduced.fit.geometry)
    strong = np.argsort(-reduced.peaks.intensity / reduced.peaks.sigma)[:most]
    pairs = cKDTree(points[strong]).query_pairs(reach, output_type="ndarray")
    pairs = pairs[:: max(len(pairs) // 60000, 1)]
    vectors = points[strong][pairs[:, 0]] - points[strong][pairs[:, 1]]
    vectors = np.concatenate([vectors, -vectors])
    inverse = np.linalg.inv(reduced.orientation.ub)
    fractional = vectors @ inverse.T

    def paint(axes: Axs) -> None:
        for ax, (i, j, k) in zip(axes[0], ((0, 1, 2), (0, 2, 1), (1, 2, 0)), strict=True):
            plane = np.abs(fractional[:, k]) < 0.15
            ax.plot(fractional[plane, i], fractional[plane, j], ".", ms=1.0, alpha=0.25, color=INK, rasterized=True)
            limit = reach * 1.05 / float(np.min(np.linalg.norm(reduced.orientation.ub, axis=0)))
            ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
            ax.set(xlabel=f"along {'abc'[i]}*", ylabel=f"along {'abc'[j]}*")
            ax.xaxis.get_major_locator().set_params(integer=True)
            ax.yaxis.get_major_locator().set_params(integer=True)

    return draw(paint, width=11.0, height=3.9, columns=3)


def _residuals(reduced: ReducedSeries, geometry: Geometry) -> tuple[Floats, Floats]:
    """Offsets from the direct beam and residuals of the clear indexed spots, (n, 2) each, px."""
    p = reduced.peaks
    own = np.flatnonzero(_indexed(reduced) & (spot_sigma_px(p) < 0.35))
    seen = np.stack([p.fast_px, p.slow_px], axis=1)[own]
    predicted, _ = predicted_px(geometry=geometry, hkl=reduced.peak_hkl[own], frame=p.frame[own])
    return seen - geometry.centre_px[p.frame[own]], seen - predicted


def residual_map(reduced: ReducedSeries, *, cells: int = 14) -> Figure:
    """Mean residual over the detector, without and with the distortions that were found; arrows enlarged alike."""
    geometry = reduced.fit.geometry
    maps = []
    for g in (with_plain_optics(geometry), geometry):
        offset, residual = _residuals(reduced, g)
        limit = float(np.max(np.abs(offset))) + 1e-6
        index = np.clip(((offset / limit + 1) / 2 * cells).astype(int), 0, cells - 1)
        flat = index[:, 0] * cells + index[:, 1]
        number = np.bincount(flat, minlength=cells**2)
        mean = np.stack([np.bincount(flat, residual[:, k], minlength=cells**2) for k in (0, 1)], axis=1)
        own = number > 2
        middle = ((np.stack(np.divmod(np.arange(cells**2), cells), axis=1) + 0.5) / cells * 2 - 1) * limit
        rms = float(np.sqrt(np.mean(residual**2)))
        maps.append((middle[own], mean[own] / number[own, None], limit, rms))
    longest = max(float(np.quantile(np.hypot(*maps[0][1].T), 0.98)) if len(maps[0][1]) else 0.0, 0.05)

    def paint(axes: Axs) -> None:
        for ax, (at, mean, limit, rms), title in zip(axes[0], maps, ("without", "with"), strict=True):
            scale = longest / (1.6 * limit / cells)
            ax.quiver(*at.T, *mean.T, angles="xy", scale_units="xy", scale=scale, color=DYNAMICAL, width=0.004)
            ax.plot(0, 0, "+", color=ACCENT, ms=8)
            ax.set(xlim=(-limit, limit), ylim=(limit, -limit), aspect="equal", xlabel="px from the direct beam")
            ax.set_title(f"{title} distortions: rms {rms:.2f} px, longest arrow stands for {longest:.2f} px")
            ax.grid(False)

    return draw(paint, width=11.0, height=5.4, columns=2)


def frame_corrections(reduced: ReducedSeries) -> Figure:
    """Turns of the frames with their uncertainties, centres and scales."""
    geometry, fit = reduced.fit.geometry, reduced.fit
    turn, sd = np.degrees(geometry.turn_vector), fit.turn_sd_deg
    alpha = geometry.alpha_deg
    phi = np.radians(geometry.microscope.projection.tilt_axis_deg)
    axis = np.array([[np.cos(phi), np.sin(phi), 0], [-np.sin(phi), np.cos(phi), 0], [0, 0, 1.0]])

    def paint(axes: Axs) -> None:
        along = turn @ axis.T
        for ax, k, name in zip(axes[0], range(3), ("about the tilt axis", "across it", "about the beam"), strict=True):
            ax.errorbar(alpha, along[:, k], yerr=sd[:, k], fmt=".", ms=3, lw=0.6, color=INK, ecolor=MUTED)
            ax.axhline(0, color=ACCENT, lw=0.8)
            ax.set(xlabel="stage angle α (°)", ylabel=f"turn {name} (°)")
        centre = geometry.centre_px - np.mean(geometry.centre_px, axis=0)
        axes[1, 0].plot(alpha, centre[:, 0], color=DYNAMICAL, label="fast", lw=1)
        axes[1, 0].plot(alpha, centre[:, 1], color=ACCENT, label="slow", lw=1)
        axes[1, 0].set(xlabel="stage angle α (°)", ylabel="centre less its mean (px)")
        axes[1, 0].legend()
        axes[1, 1].plot(alpha, fit.scale, ".-", ms=3, lw=0.7, color=INK)
        axes[1, 1].set(xlabel="stage angle α (°)", ylabel="scale of the frame", ylim=(0, None))
        axes[1, 2].hist(along.T.tolist(), bins=25, stacked=False, histtype="step", color=[INK, DYNAMICAL, ACCENT])
        axes[1, 2].set(xlabel="turn (°)", ylabel="frames")

    return draw(paint, width=11.0, height=5.6, rows=2, columns=3)


def rocking_shape(reduced: ReducedSeries) -> Figure:
    """Observed over expected peak share of strong reflections against the excitation error, and the fitted curve."""
    r, fit = reduced.reflections, reduced.fit
    assert r.partiality is not None
    _, group = np.unique(r.hkl, axis=0, return_inverse=True)
    group = np.asarray(group).reshape(-1)
    scaled = r.intensity / r.frame_scale[r.frame]
    total, share = (np.bincount(group, weights=w) for w in (np.maximum(scaled, 0.0), r.partiality))
    strong = (total > np.quantile(total, 0.9))[group] & (share > 0.3)[group]
    s = r.excitation_error_per_angstrom[strong]
    value = scaled[strong] * (share / np.maximum(total, 1e-30))[group[strong]]
    model = r.partiality[strong]
    limit = float(np.quantile(np.abs(s), 0.99)) if len(s) else 0.01
    edges = np.linspace(-limit, limit, 60)
    which = np.digitize(s, edges)

    def median(v: Floats) -> list[float]:
        return [float(np.median(v[which == k])) if np.any(which == k) else np.nan for k in range(1, len(edges))]

    middle = 0.5 * (edges[1:] + edges[:-1])

    def paint(axes: Axs) -> None:
        ax: Axes = axes[0, 0]
        ax.plot(s, value, ".", ms=1.2, color=MUTED, alpha=0.35, rasterized=True)
        ax.plot(middle, median(value), color=INK, label="observed, median")
        ax.plot(middle, median(model), color=ACCENT, ls="--", label=f"model ({fit.rocking.shape}), median")
        top = float(np.quantile(value, 0.995)) if len(value) else 1.0
        ax.set(xlim=(-limit, limit), ylim=(-0.1 * top, 1.2 * top))
        ax.set(xlabel="excitation error in the middle of the frame (Å⁻¹)", ylabel="share of the reflection")
        ax.legend()

    return draw(paint, width=11.0, height=3.8)


def reciprocal_sections(space: ReciprocalMap) -> Figure:
    """hk0, h0l and 0kl of the map of all pixels, a quarter of an index thick on either side, counts on a root scale."""
    star = np.linalg.norm(space.reciprocal, axis=0)
    limit = float(np.min(space.middle / space.per_index * star))

    def paint(axes: Axs) -> None:
        for ax, (name, (i, j), zero) in zip(axes[0], SECTIONS, strict=True):
            values = space.section(zero).T if i < j else space.section(zero)
            first = space.reciprocal[:, i] / np.linalg.norm(space.reciprocal[:, i])
            second = space.reciprocal[:, j] - (space.reciprocal[:, j] @ first) * first
            plane = np.stack([first, second / np.linalg.norm(second)])
            n = [np.arange(space.values.shape[k]) - space.middle[k] for k in (i, j)]
            at = np.stack(np.meshgrid(*n), axis=-1) / space.per_index @ (plane @ space.reciprocal[:, [i, j]]).T
            root = np.sqrt(np.maximum(values, 0.0))
            own = np.isfinite(root) & (np.linalg.norm(at, axis=-1) > 0.15 * limit)  # the direct beam's halo left out
            top = float(np.quantile(root[own], 0.998)) if np.any(own) else 1.0
            mesh = ax.pcolormesh(at[..., 0], at[..., 1], root, vmin=0.0, vmax=max(top, 1e-6), cmap="Greys")
            mesh.set_rasterized(True)
            ax.plot(0, 0, "+", color=ACCENT, ms=7)
            ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xlabel="Å⁻¹")
            ax.set_title(name)
            ax.grid(False)

    return draw(paint, width=11.2, height=4.1, columns=3, sharey=True)


def _above(values: list[float]) -> float:
    """Upper end of an axis from 0 on which the largest of the finite values is not cut."""
    return 1.08 * max([v for v in values if np.isfinite(v)], default=1.0) + 1e-6


def shell_statistics(reduced: ReducedSeries) -> Figure:
    """R_int, completeness, CC½ and redundancy by shell, and the Wilson plot."""
    shells, merged = reduced.shells, reduced.merged
    g = [0.5 * (s.g_low_per_angstrom + s.g_high_per_angstrom) for s in shells]
    length = np.linalg.norm(merged.hkl @ reduced.orientation.ub.T, axis=1)
    edges = [s.g_low_per_angstrom for s in shells] + [shells[-1].g_high_per_angstrom]
    which = np.digitize(length, edges) - 1
    means = [float(np.mean(merged.intensity[which == k])) if np.any(which == k) else np.nan for k in range(len(shells))]
    log = np.log(np.where(np.array(means) > 0, means, np.nan))

    def paint(axes: Axs) -> None:
        for ax, values, name in zip(
            axes[0],
            (
                [s.r_int_percent for s in shells],
                [s.completeness_percent for s in shells],
                [s.cc_half_percent for s in shells],
            ),
            ("R_int (%)", "completeness (%)", "CC½ (%)"),
            strict=True,
        ):
            ax.plot(g, values, "o-", ms=4, color=DYNAMICAL)
            ax.set(xlabel="|g| (Å⁻¹)", ylabel=name, ylim=(0, _above(values)))
        axes[1, 0].plot(g, [s.redundancy for s in shells], "o-", ms=4, color=DYNAMICAL)
        axes[1, 0].set(xlabel="|g| (Å⁻¹)", ylabel="redundancy", ylim=(0, _above([s.redundancy for s in shells])))
        axes[1, 1].plot(g, [s.mean_i_over_sigma for s in shells], "o-", ms=4, color=DYNAMICAL)
        ratio = _above([s.mean_i_over_sigma for s in shells])
        axes[1, 1].set(xlabel="|g| (Å⁻¹)", ylabel="mean I/σ", ylim=(0, ratio))
        axes[1, 2].plot(0.25 * np.array(g) ** 2, log, "o-", ms=4, color=INK)
        axes[1, 2].set(xlabel="(sin θ/λ)² (Å⁻²)", ylabel="ln ⟨I⟩")
        axes[1, 2].xaxis.get_major_locator().set_params(nbins=5)

    return draw(paint, width=11.0, height=5.6, rows=2, columns=3)
