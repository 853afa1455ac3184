"""A short page about one refinement: figures of merit, R by frame, resolution and strength, F_o against F_c."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import ndtri

from pipeline.types import Refinement
from twin.files.cif_writer import format_su
from twin.physics.lattice import Floats, reciprocal_matrix
from validation.plots.intensities import fo_fc, residuals
from validation.plots.refined_frames import by_frame, by_strength
from validation.plots.style import INK, TREATMENT_COLOUR, TREATMENT_NAME, draw, svg

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;"
    "text-align:right}td:first-child,th:first-child{text-align:left}img{max-width:100%}"
)


def r_percent(refinement: Refinement, chosen: NDArray[np.bool_]) -> float:
    """R = Σ|F_o − F_c| / Σ F_o in percent over ``chosen`` (n,) bool; NaN without any."""
    whole = float(refinement.f_obs[chosen].sum())
    return 100.0 * float(np.abs(refinement.f_obs - refinement.f_calc)[chosen].sum()) / whole if whole > 0 else np.nan


def grouped_r(refinement: Refinement, key: Floats, *, groups: int) -> list[tuple[str, int, float, float]]:
    """(range of ``key``, reflections, R(obs), R(all)) of equally filled groups of ``key`` (n,), ascending."""
    edges = np.quantile(key, np.linspace(0.0, 1.0, groups + 1))
    number = np.clip(np.searchsorted(edges, key, side="right") - 1, 0, groups - 1)
    rows = []
    for i in range(groups):
        inside = number == i
        if inside.any():
            rows.append(
                (
                    f"{edges[i]:.3g} to {edges[i + 1]:.3g}",
                    int(inside.sum()),
                    r_percent(refinement, inside & refinement.observed),
                    r_percent(refinement, inside),
                )
            )
    return rows


def resolution(refinement: Refinement) -> Floats:
    """|g| = 1/d of every reflection, Å⁻¹."""
    return np.asarray(np.linalg.norm(refinement.hkl @ reciprocal_matrix(refinement.crystal.cell).T, axis=1))


def normal_quantiles(refinement: Refinement, *, instability: float = 0.01) -> tuple[Floats, Floats]:
    """(expected, sorted) weighted differences (F_o − F_c)/σ: a straight line of slope 1 when the s.u.s are right.

    Abrahams & Keve, Acta Cryst. A27 (1971) 157.
    """
    sigma = np.sqrt(refinement.sigma_f**2 + (instability * refinement.f_obs) ** 2)
    delta = np.sort((refinement.f_obs - refinement.f_calc) / np.maximum(sigma, 1e-300))
    n = len(delta)
    return np.asarray(ndtri((np.arange(n) + 0.5) / n)), delta


def _probability(refinements: Sequence[Refinement]) -> Figure:
    def paint(axes: NDArray[Any]) -> None:
        ax: Axes = axes[0, 0]
        for refinement in refinements:
            ax.plot(*normal_quantiles(refinement), ".", ms=3, color=TREATMENT_COLOUR.get(refinement.kind, INK),
                    label=TREATMENT_NAME.get(refinement.kind, refinement.kind))  # fmt: skip
        ax.axline((0.0, 0.0), slope=1.0, lw=0.8, color="0.5")
        ax.set(xlabel="expected normal quantile", ylabel="(F_o − F_c) / σ")
        ax.legend(frameon=False)

    return draw(paint, width=5.0, height=3.6)


def refinement_page(
    *,
    title: str,
    refinements: Sequence[Refinement],
    facts: Mapping[str, str],
    notes: Sequence[str],
    turn_deg: Sequence[Floats | None] = (),
) -> str:
    """The page as HTML without links to the outside. turn_deg: for each refinement, turns of its frames (frames, 2)."""
    parts = [f"<!doctype html><meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>"]
    parts.append(f"<h1>{escape(title)}</h1>" + "".join(f"<p>{escape(n)}</p>" for n in notes))
    parts.append(_table(("", *(r.kind.replace("_", " ") for r in refinements)), _figures(refinements)))
    parts += [_picture(fo_fc(tuple(refinements))), _picture(residuals(tuple(refinements), None))]
    parts.append(_picture(_probability(refinements)))
    parts.append(_picture(by_strength(refinements)))
    turns = [*turn_deg, *[None] * (len(refinements) - len(turn_deg))]
    of_frames = [(r, t) for r, t in zip(refinements, turns, strict=True) if r.frame.max(initial=-1) >= 0]
    parts += [_picture(by_frame(r, t)) for r, t in of_frames]
    for r in refinements:
        parts.append(f"<h2>{escape(r.kind.replace('_', ' '))}</h2><p>{escape(r.verdict.rstrip('.'))}</p>")
        head = ("", "reflections", "R(obs) %", "R(all) %")
        for name, key in (("|g|, Å⁻¹", resolution(r)), ("F_o", r.f_obs)):
            rows = [(f"{name} {label}", str(n), _n(a), _n(b)) for label, n, a, b in grouped_r(r, key, groups=8)]
            parts.append(_table(head, rows))
        if r.frame.max(initial=-1) >= 0:
            parts.append(_table((*head, "scale"), _by_frame(r)))
        atoms = [(s.label, *_site(r, s.label, s.fract, s.u_iso_angstrom2)) for s in r.crystal.sites]
        parts.append(_table(("site", "x", "y", "z", "U_eq, Å²"), atoms))
    parts.append(_table(("", ""), list(facts.items())))
    return "\n".join(parts) + "\n"


def _figures(refinements: Sequence[Refinement]) -> list[tuple[str, ...]]:
    def row(name: str, values: Sequence[str]) -> tuple[str, ...]:
        return (name, *values)

    rs = refinements
    rows = [
        row("R(obs), %", [_n(r.r_obs_percent) for r in rs]),
        row("R(all), %", [_n(r.r_all_percent) for r in rs]),
        row("wR(all), %", [_n(r.wr_all_percent) for r in rs]),
        row("R(obs) of frames held out, %", [_n(r.held_out_r_obs_percent) for r in rs]),
        row("GoF(obs)", [_n(r.gof_obs) for r in rs]),
        row("reflections obs / all", [f"{r.reflections_obs} / {r.reflections_all}" for r in rs]),
        row("parameters", [str(r.parameters) for r in rs]),
        row("thickness, nm", [_n(r.thickness_nm) for r in rs]),
        row("mosaicity, degrees", [_n(r.mosaicity_deg) for r in rs]),
    ]
    return [r for r in rows if any(r[1:])]


def _by_frame(r: Refinement) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for f in np.unique(r.frame):
        inside = r.frame == f
        scale = "" if r.frame_scale is None else f"{r.frame_scale[f]:.4g}"
        observed, everything = r_percent(r, inside & r.observed), r_percent(r, inside)
        rows.append((f"frame {f + 1}", str(int(inside.sum())), _n(observed), _n(everything), scale))
    return rows


def _site(r: Refinement, label: str, fract: tuple[float, float, float], u: float) -> tuple[str, ...]:
    su = r.standard_uncertainties
    values = [*zip("xyz", fract, strict=True), ("u_iso", u)]
    return tuple(format_su(v, su.get(f"{label}.{k}"), decimals=5) for k, v in values)


def _n(value: float | None) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:.4g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(c))}</{tag}>" for c in cells) + "</tr>"

    return "<table>" + line(head, "th") + "".join(line(r, "td") for r in rows) + "</table>"


def _picture(figure: Figure) -> str:
    data = base64.b64encode(svg(figure).encode("utf-8")).decode("ascii")
    return f'<p><img alt="" src="data:image/svg+xml;base64,{data}"></p>'
