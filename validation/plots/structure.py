"""Figures of structures: the radar of deviations, and sections through the solution's density."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from twin.model.crystal import Crystal
from twin.physics.lattice import Floats, direct_matrix
from twin.physics.structure_factors import P1Atoms, expand_to_p1
from validation.plots.style import (
    ELEMENT_COLOUR,
    INK,
    MUTED,
    TREATMENT_COLOUR,
    TREATMENT_NAME,
    draw,
)
from validation.structure import StructureScore

Axs = NDArray[Any]
HALF_SLAB_ANGSTROM = 0.35
_STUDY_SPOKES = (("mean", "mean"), ("largest", "max"))


def radar(*, scores: Mapping[str, StructureScore | None], study: Mapping[str, Mapping[str, float]]) -> Figure:
    """Deviation from the true position: a spoke a site, one for the mean, one for the largest; Å from the centre.

    ``scores``: by kind of refinement. ``study``: kind -> {"mean": Å, "max": Å}, crosses on the last spokes;
    those beyond the rim stand in the legend.
    """
    shown = {kind: score for kind, score in scores.items() if score is not None and score.sites}
    labels = [*[s.label for s in next(iter(shown.values())).sites], "mean", "largest"]
    angles = np.pi / 2 - 2 * np.pi * np.arange(len(labels)) / len(labels)

    def paint(axes: Axs) -> None:
        ax = axes[0, 0]
        for kind, score in shown.items():
            values = _spokes(score, labels)
            colour = TREATMENT_COLOUR.get(kind, INK)
            thin = kind in ("kinematical_non_averaged", "kinematical_frame_based")
            ax.plot(np.append(angles, angles[0]), np.append(values, values[0]), marker="o", ms=3.5, color=colour,
                    lw=1.0 if thin else 1.8, ls="--" if thin else "-",
                    label=TREATMENT_NAME.get(kind, kind))  # fmt: skip
            if not thin:
                ax.fill(angles, values, color=colour, alpha=0.12, lw=0)
        rim = 1.15 * max(float(np.nanmax(_spokes(score, labels))) for score in shown.values()) or 1e-3
        for kind, row in study.items():
            points = [(float(angles[labels.index(name)]), row[key]) for name, key in _STUDY_SPOKES if key in row]
            _study_marks(ax, points, kind, rim)
        ax.set_xticks(angles % (2 * np.pi), labels)
        ax.tick_params(axis="x", labelsize=9, labelcolor=INK, pad=9)
        ticks = MaxNLocator(4).tick_values(0.0, rim)
        ax.set_rticks([float(t) for t in ticks if 0.0 < t < rim])
        ax.set_ylim(0, rim)
        ax.set_rlabel_position(np.degrees(angles[0]) - 180 / len(labels))
        ax.yaxis.set_major_formatter("{x:g} Å")
        ax.spines["polar"].set_color("#c3ccd4")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)

    return draw(paint, width=4.6, height=5.0, subplot_kw={"projection": "polar"})


def _study_marks(ax: Any, points: list[tuple[float, float]], kind: str, rim: float) -> None:
    """Crosses of the published values; those beyond the rim stand with their value in the legend alone."""
    colour = TREATMENT_COLOUR.get(kind, INK)
    inside = [p for p in points if p[1] <= rim]
    beyond = ", ".join(f"{value:.3f} Å" for _, value in points if value > rim)
    label = f"study, {'dynamical' if kind == 'dynamical' else 'kinematical'}"
    if points:
        where = np.array(inside or [(0.0, np.nan)])
        ax.plot(*where.T, "x", ms=7, mew=1.8, color=colour, label=f"{label} ({beyond})" if beyond else label, zorder=5)


def _spokes(score: StructureScore, labels: list[str]) -> Floats:
    distance = {s.label: s.distance_angstrom for s in score.sites}
    distance |= {"mean": score.mean_distance_angstrom, "largest": score.max_distance_angstrom}
    return np.array([distance.get(label, np.nan) for label in labels])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Slab:
    """A layer of the cell: axis it is normal to (fractional), height, and the atoms within it."""

    axis: int
    height: float
    atoms: NDArray[np.int64]


def density_sections(*, crystal: Crystal, density: Floats) -> Figure:
    """A map (u, v, w) in three layers, normal to each axis where most atoms lie: largest value over a thin slab, with
    the atoms drawn in."""
    atoms = expand_to_p1(crystal)
    slabs = [_best_slab(crystal, atoms, axis) for axis in range(3)]
    direct = direct_matrix(crystal.cell)
    sizes = [np.ptp(_corners(direct, slab.axis), axis=1) for slab in slabs]
    elements = sorted({str(atoms.element[a]) for slab in slabs for a in slab.atoms})

    def paint(axes: Axs) -> None:
        for ax, slab in zip(axes[0], slabs, strict=True):
            _paint_section(ax, crystal, density, slab, atoms)
        handles = [Line2D([], [], ls="", marker="o", mfc="none", mec=_colour(e), mew=1.8, ms=10, label=e)
                   for e in elements]  # fmt: skip
        axes[0, 2].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0))

    widest = sum(float(s[0]) for s in sizes)
    height = 1.2 + min(9.2 * max(float(s[1]) for s in sizes) / widest, 6.0)
    return draw(paint, width=11.0, height=height, columns=3, width_ratios=[float(s[0]) for s in sizes])


def _colour(element: str) -> str:
    return ELEMENT_COLOUR.get(element, INK)


def _corners(direct: Floats, axis: int) -> Floats:
    """Corners of the face of the cell that an axis does not lie in, drawn in their plane; (2, 4) in Å."""
    i, j = _others(axis)
    return np.asarray(_plane_matrix(direct[:, [i, j]]) @ np.array([[0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]]))


def _others(axis: int) -> tuple[int, int]:
    i, j = (a for a in range(3) if a != axis)
    return i, j


def _paint_section(ax: Any, crystal: Crystal, density: Floats, slab: _Slab, atoms: P1Atoms) -> None:
    i, j = _others(slab.axis)
    image = _slab_maximum(density, slab, crystal)
    plane = _plane_matrix(direct_matrix(crystal.cell)[:, [i, j]])
    u, v = np.meshgrid(*[np.arange(n + 1) / n for n in image.shape], indexing="ij")
    x, y = np.einsum("ij,jab->iab", plane, np.stack([u, v]))
    closed = np.pad(image, ((0, 1), (0, 1)), mode="wrap")
    low, high = np.quantile(image, 0.5), np.max(image)
    mesh = ax.pcolormesh(x, y, np.clip(closed, low, high), cmap="Blues", shading="gouraud", rasterized=True)
    mesh.set_clim(low, high)
    for element in sorted({str(atoms.element[a]) for a in slab.atoms}):
        own = [a for a in slab.atoms if atoms.element[a] == element]
        where = _inside(atoms.fract[own][:, [i, j]]) @ plane.T
        ax.plot(*where.T, "o", mfc="none", mec="white", mew=3.0, ms=11)
        ax.plot(*where.T, "o", mfc="none", mec=_colour(element), mew=1.6, ms=11)
    ax.set(aspect="equal", xlabel=f"along {'abc'[i]} (Å)", ylabel=f"towards {'abc'[j]} (Å)")
    depth = slab.height * crystal.cell.parameters[slab.axis]
    ax.set_title(f"{'xyz'[slab.axis]} = {slab.height:.3f} ({depth:.2f} ± {HALF_SLAB_ANGSTROM} Å)")
    ax.grid(False)
    ax.tick_params(colors=MUTED)


def _best_slab(crystal: Crystal, atoms: P1Atoms, axis: int) -> _Slab:
    """The layer normal to an axis, through one of the sites, that holds most atoms; one with every element counts
    double."""
    kinds = len(set(atoms.element))
    length = crystal.cell.parameters[axis]
    best, best_score = None, -1.0
    for height in np.unique(np.round(atoms.fract[:, axis] % 1.0, 4)):
        offset = (atoms.fract[:, axis] - height + 0.5) % 1.0 - 0.5
        own = np.flatnonzero(np.abs(offset) * length < HALF_SLAB_ANGSTROM)
        score = len(own) * (2.0 if len({atoms.element[a] for a in own}) == kinds else 1.0)
        if score > best_score + 1e-9:
            best, best_score = _Slab(axis=axis, height=float(height), atoms=own), score
    assert best is not None
    return best


def _slab_maximum(density: Floats, slab: _Slab, crystal: Crystal) -> Floats:
    n = density.shape[slab.axis]
    half = max(1, round(HALF_SLAB_ANGSTROM / crystal.cell.parameters[slab.axis] * n))
    layers = (round(slab.height * n) + np.arange(-half, half + 1)) % n
    return np.asarray(np.max(np.take(density, layers, axis=slab.axis), axis=slab.axis))


def _plane_matrix(vectors: Floats) -> Floats:
    """(2, 2): columns are the two cell vectors drawn in their plane, the first along x."""
    first = vectors[:, 0] / np.linalg.norm(vectors[:, 0])
    across = vectors[:, 1] - (vectors[:, 1] @ first) * first
    return np.array([[vectors[:, 0] @ first, vectors[:, 1] @ first], [0.0, np.linalg.norm(across)]])


def _inside(fract: Floats) -> Floats:
    """Fractional positions brought into the cell, with copies of those on an edge at the opposite edge."""
    base = fract % 1.0
    base[base > 1 - 1e-4] = 0.0
    copies = np.concatenate([base + np.array(step) for step in ((0, 0), (0, 1), (1, 0), (1, 1))])
    return np.asarray(copies[np.all(copies <= 1 + 1e-4, axis=1)])
