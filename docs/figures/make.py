"""Draws the figures of the documentation. Run from the repository's root: ``python docs/figures/make.py [NAME ...]``.

``laboratory_frame`` needs nothing; ``hero`` needs a finished run of ito-01 (``--run DIR``, default runs/ito-01).
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Circle, FancyArrowPatch, Polygon
from PIL import Image

from twin.physics.lattice import rotation_matrix, tilt_axis_vector
from validation.plots.intensities import fo_fc
from validation.plots.structure import radar
from validation.plots.style import DYNAMICAL, INK, KINEMATICAL, MUTED, RC, TRUTH, draw, no_axes, png
from validation.scores import Scores, score_run
from validation.view import RunView

HERE = Path(__file__).parent
TILT_AXIS_DEG = 33.0  # drawn; every instrument has its own
ALPHA_DEG = 28.0
PRECESSION_DRAWN_DEG = 9.0  # exaggerated: 1.2 in the study


def laboratory_frame() -> Figure:
    """Left: the column in perspective. Right: the detector as it is displayed. The numbers are the code's own."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(11.0, 5.9))
        left, right = figure.subplots(1, 2, width_ratios=(1.08, 1))
        _column(left)
        _detector(right)
    return figure


def _project(points: Any) -> np.ndarray:
    """Laboratory (n, 3) -> page (n, 2): z points down the page, x to the right, y towards the reader."""
    p = np.atleast_2d(np.asarray(points, dtype=np.float64))
    return np.stack([p[:, 0] - 0.52 * p[:, 1], -p[:, 2] - 0.42 * p[:, 1]], axis=1)


def _arrow(ax: Axes, start: Any, end: Any, colour: str, *, width: float = 1.8) -> None:
    _flat_arrow(ax, *_project([start, end]), colour, width=width)


def _flat_arrow(ax: Axes, start: Any, end: Any, colour: str, *, width: float = 1.8) -> None:
    ax.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=13, lw=width, color=colour, shrinkA=0, shrinkB=0)
    )


def _label(ax: Axes, where: Any, text: str, colour: str = INK, **options: Any) -> None:
    x, y = _project(where)[0]
    ax.text(x, y, text, color=colour, **({"ha": "center", "va": "center", "fontsize": 10} | options))


def _column(ax: Axes) -> None:
    no_axes(ax)
    _detector_plane(ax)
    _specimen(ax)
    _beam(ax)
    ax.set(aspect="equal", xlim=(-2.15, 2.45), ylim=(-3.3, 2.75))
    ax.set_title("The column: z along the beam, from source to detector")


def _detector_plane(ax: Axes) -> None:
    z, half = 2.3, 1.15
    corners = [(-half, -half, z), (half, -half, z), (half, half, z), (-half, half, z)]
    ax.add_patch(Polygon(_project(corners), closed=True, fc="#eef3f7", ec=MUTED, lw=1))
    for t in np.linspace(-half, half, 9)[1:-1]:
        ax.plot(*_project([(t, -half, z), (t, half, z)]).T, color="#d3dbe2", lw=0.6)
        ax.plot(*_project([(-half, t, z), (half, t, z)]).T, color="#d3dbe2", lw=0.6)
    corner = (-half, -half, z)
    ax.plot(*_project(corner).T, "s", ms=6, color=INK)
    _label(ax, (-half, -half - 0.1, z - 0.17), "pixel (0, 0)", ha="center", fontsize=9)
    _arrow(ax, corner, (-half + 0.85, -half, z), INK)
    _arrow(ax, corner, (-half, -half + 1.0, z), INK)
    _label(ax, (-half + 1.05, -half, z - 0.13), "fast, x", fontsize=9)
    _label(ax, (-half - 0.28, -half + 1.0, z), "slow, y", fontsize=9)
    _label(ax, (half + 0.1, 0.35, z), "detector", colour=MUTED, ha="left", fontsize=9)


def _specimen(ax: Axes) -> None:
    n = tilt_axis_vector(TILT_AXIS_DEG)
    _arrow(ax, -1.75 * n, 1.95 * n, TRUTH, width=2)
    _label(ax, 2.05 * n, "tilt axis n", TRUTH, ha="left")
    turn = rotation_matrix(axis=n, angle_deg=ALPHA_DEG)
    u, v = n, np.cross([0.0, 0.0, 1.0], n)
    plate = np.array([(-0.75 * u - 0.5 * v), (0.75 * u - 0.5 * v), (0.75 * u + 0.5 * v), (-0.75 * u + 0.5 * v)])
    ax.add_patch(Polygon(_project(plate), closed=True, fc="none", ec=MUTED, lw=1, ls=":"))
    ax.add_patch(Polygon(_project(plate @ turn.T), closed=True, fc="#cfe4d9", ec=TRUTH, lw=1.2, alpha=0.85))
    steps = np.linspace(0, 1.25 * ALPHA_DEG, 30)
    arc = np.array([rotation_matrix(axis=n, angle_deg=a) @ (0.5 * v * 1.35) + 0.75 * u for a in steps])
    path = _project(arc)
    ax.plot(*path.T, color=TRUTH, lw=1.4)
    _flat_arrow(ax, path[-4], path[-1], TRUTH, width=1.4)
    _label(ax, arc[-1] + np.array([0.32, 0.0, 0.16]), "+α", TRUTH, fontsize=12)
    ax.plot(0, 0, "o", ms=6, color=INK)


def _beam(ax: Axes) -> None:
    top, half = -2.15, np.radians(PRECESSION_DRAWN_DEG)
    azimuth = np.linspace(0, 2 * np.pi, 73)
    radius = -top * np.tan(half)
    ring = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), np.full(73, top)], axis=1)
    ax.plot(*_project(ring).T, color=KINEMATICAL, lw=1, ls="--")
    for phi in (np.radians(-58), np.radians(122)):
        start = (radius * np.cos(phi), radius * np.sin(phi), top)
        ax.plot(*_project([start, (0, 0, 0)]).T, color=KINEMATICAL, lw=0.9, ls="--")
    now = np.radians(160)
    _arrow(ax, (-radius * np.cos(now), -radius * np.sin(now), top), (0, 0, 0), KINEMATICAL, width=1.6)
    _label(ax, (0.5, 0.1, top + 0.3), "precession:\nK on a cone about z", KINEMATICAL, fontsize=9, ha="left")
    ax.plot(*_project([(0, 0, top - 0.05), (0, 0, 2.3)]).T, color=DYNAMICAL, lw=1.2)
    _arrow(ax, (0, 0, 2.3), (0, 0, 3.05), DYNAMICAL, width=2)
    _label(ax, (0.14, 0, 2.98), "z, beam", DYNAMICAL, ha="left")
    _label(ax, (0, 0, top - 0.32), "source", MUTED, fontsize=9)


def _detector(ax: Axes) -> None:
    size = 11
    for i in range(size + 1):
        ax.plot([-0.5, size - 0.5], [i - 0.5, i - 0.5], color="#e3e8ec", lw=0.7, zorder=0)
        ax.plot([i - 0.5, i - 0.5], [-0.5, size - 0.5], color="#e3e8ec", lw=0.7, zorder=0)
    ax.add_patch(Polygon([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)], fc="#cfd8df", ec=INK, lw=1))
    ax.plot(0, 0, ".", color=INK, ms=4)
    ax.annotate("pixel (0, 0): its centre\nis the point (0.0, 0.0)", (0, 0), (1.0, 1.9), fontsize=9, va="center",
                arrowprops={"arrowstyle": "-", "color": MUTED, "lw": 0.8})  # fmt: skip
    _flat_arrow(ax, (0.0, -1.15), (3.6, -1.15), INK)
    _flat_arrow(ax, (-1.15, 0.0), (-1.15, 3.6), INK)
    ax.text(5.3, -1.15, "x, fast axis", ha="center", va="center", fontsize=10)
    ax.text(-1.15, 5.6, "y, slow axis", ha="center", va="center", fontsize=10, rotation=90)
    _axes_at_beam(ax, np.array([5.4, 5.6]))
    ax.set(aspect="equal", xlim=(-1.9, size + 0.4), ylim=(size + 0.4, -2.0))
    no_axes(ax)
    ax.set_title("The detector as displayed: the viewer looks along the beam")


def _axes_at_beam(ax: Axes, centre: np.ndarray) -> None:
    n = tilt_axis_vector(TILT_AXIS_DEG)[:2]
    ax.plot(*np.stack([centre - 5.2 * n, centre + 5.2 * n]).T, color=TRUTH, lw=1)
    _flat_arrow(ax, centre, centre + 5.2 * n, TRUTH, width=2)
    ax.text(*(centre + 5.1 * n + np.array([0.35, 0.75])), "n = (cos φ, sin φ, 0)", color=TRUTH, ha="right", fontsize=10)
    ax.plot(*np.stack([centre, centre + np.array([5.0, 0])]).T, color=MUTED, lw=0.8, ls=":")
    ax.add_patch(Arc(centre, 5.4, 5.4, theta1=0, theta2=TILT_AXIS_DEG, color=TRUTH, lw=1.4))
    ax.text(*(centre + np.array([3.1, 0.92])), "φ", color=TRUTH, fontsize=13, ha="center", va="center")
    ax.text(*(centre + np.array([0.75, -0.75])), "φ = tilt_axis_deg,\nmeasured from x towards y", color=TRUTH,
            fontsize=9, va="center")  # fmt: skip
    ax.add_patch(Circle(centre, 0.3, fc="white", ec=DYNAMICAL, lw=1.6, zorder=4))
    ax.plot(*np.stack([centre - 0.2, centre + 0.2]).T, color=DYNAMICAL, lw=1.6, zorder=5)
    other = np.array([0.2, -0.2])
    ax.plot(*np.stack([centre - other, centre + other]).T, color=DYNAMICAL, lw=1.6, zorder=5)
    ax.text(*(centre + np.array([-0.6, 0.0])), "z, away from\nthe viewer", color=DYNAMICAL, ha="right", va="center",
            fontsize=9)  # fmt: skip
    _moving_spot(ax, centre)


def _moving_spot(ax: Axes, centre: np.ndarray) -> None:
    """Where the end of a vector on the near side of the axis goes when α grows."""
    n = tilt_axis_vector(TILT_AXIS_DEG)
    across = np.cross([0.0, 0.0, 1.0], n)
    start = 3.0 * across - 0.9 * n
    ends = [rotation_matrix(axis=n, angle_deg=a) @ start for a in (0.0, 40.0)]
    ax.plot(*(centre + ends[0][:2]), "o", color=INK, ms=6)
    _flat_arrow(ax, centre + ends[0][:2], centre + ends[1][:2], INK, width=1.5)
    sense = "away from the viewer" if ends[1][2] > 0 else "towards the viewer"
    ax.text(*(centre + ends[0][:2] + np.array([0.1, 0.75])), f"as α grows, the crystal on this\nside of n goes {sense}",
            ha="center", va="center", fontsize=9)  # fmt: skip


def hero(run: RunView, scores: Scores) -> bytes:
    """A frame, F_o against F_c without and with multiple scattering, and the radar of deviations, side by side."""
    kinds = ("kinematical_frame_based", "dynamical")
    wanted = [r for kind in kinds if (r := run.refinement(kind)) is not None]
    shown = {kind: scores.refinements[kind] for kind in ("kinematical_averaged", "dynamical")}
    figures = [_frame(run), fo_fc(tuple(wanted)), radar(scores=shown, study={})]
    pictures = [Image.open(io.BytesIO(png(figure, dpi=180))).convert("RGB") for figure in figures]
    height = 720
    pictures = [p.resize((round(p.width * height / p.height), height), Image.Resampling.LANCZOS) for p in pictures]
    canvas = Image.new("RGB", (sum(p.width for p in pictures), height), "white")
    at = 0
    for picture in pictures:
        canvas.paste(picture, (at, 0))
        at += picture.width
    data = io.BytesIO()
    canvas.quantize(192).save(data, format="PNG", optimize=True)
    return data.getvalue()


def _frame(run: RunView) -> Figure:
    """The frame with most reflections above 3σ, logarithmic, with the reflections found on it."""
    assert run.dataset is not None
    assert run.reflections is not None
    r = run.reflections
    strong = r.intensity > 3 * r.sigma
    best = int(np.argmax(np.bincount(r.frame[strong], minlength=len(run.dataset.counts))))
    counts = np.maximum(run.dataset.counts[best].astype(np.float64), 1.0)
    own = strong & (r.frame == best)

    def paint(axes: Any) -> None:
        ax = axes[0, 0]
        low, high = np.quantile(counts, 0.2), np.quantile(counts, 0.9995)
        ax.imshow(np.log(counts), cmap="Greys", vmin=np.log(low), vmax=np.log(high), interpolation="nearest")
        ax.scatter(r.fast_px[own], r.slow_px[own], s=26, facecolors="none", edgecolors=KINEMATICAL, linewidths=0.7)
        ax.set_title(f"{run.scenario}: frame {best} of {len(run.dataset.counts)}, reflections above 3σ")
        no_axes(ax)

    return draw(paint, width=4.6, height=4.8)


def _load(directory: Path) -> tuple[RunView, Scores]:
    from scenarios.load import load_scenario
    from scenarios.runfolder import RunFolder
    from scenarios.stages.report import run_view

    folder = RunFolder(path=directory)
    view = run_view(folder=folder, scenario=load_scenario(directory / "scenario.toml").scenario)
    return view, score_run(view)


def main() -> None:
    """Draw what was asked for, or the frame of the laboratory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=["laboratory_frame", "hero"], default=["laboratory_frame"])
    parser.add_argument("--run", type=Path, default=Path("runs/ito-01"))
    options = parser.parse_args()
    if "laboratory_frame" in options.names:
        (HERE / "laboratory_frame.png").write_bytes(png(laboratory_frame(), dpi=170))
    if "hero" in options.names:
        (HERE / "hero.png").write_bytes(hero(*_load(options.run)))


if __name__ == "__main__":
    main()
