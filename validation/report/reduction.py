"""``reduction.html``: one page about a reduction, for simulated and measured frames alike, without any truth."""

from __future__ import annotations

import base64
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import jinja2
from matplotlib.figure import Figure

from pipeline.reduction.assemble import ReducedSeries
from pipeline.reduction.reciprocal_map import ReciprocalMap
from twin.files.atomic import write_text
from validation.plots.geometry import rocking_curves, sections
from validation.plots.reduction import (
    cylinder,
    difference_vectors,
    frame_corrections,
    reciprocal_sections,
    residual_map,
    rocking_shape,
    shell_statistics,
    spots_by_frame,
)
from validation.plots.style import svg

TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reduction of {{ name }}</title><style>{{ style | safe }}</style></head>
<body><header class="top"><div class="inner"><p class="eyebrow">edtwin, data reduction</p><h1>{{ name }}</h1>
<p class="subtitle">{{ subtitle }}</p></div></header>
<main class="inner">
{% for title, caption, picture in pictures %}<section><h2>{{ title }}</h2>
<figure><img src="{{ picture }}" alt="{{ title }}"><figcaption>{{ caption }}</figcaption></figure></section>
{% endfor %}<section><h2>By shell</h2><div class="scroll"><table class="numbers"><thead><tr>
{% for head in heads %}<th>{{ head }}</th>{% endfor %}</tr></thead><tbody>
{% for row in table %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div></section>
<section><h2>Log</h2><ul class="notes">{% for line in log %}<li>{{ line }}</li>{% endfor %}</ul></section>
</main></body></html>
"""
HEADS = ("|g| (Å⁻¹)", "unique", "completeness (%)", "redundancy", "R_int (%)", "CC½ (%)", "mean I/σ")


Picture = tuple[str, str, Callable[[], Figure]]


def _space_picture(space: ReciprocalMap) -> Picture:
    return (
        "Reciprocal space",
        "Sections through the map of all pixels of all frames, as measured: nothing is symmetrised; white where no "
        "frame has been.",
        lambda: reciprocal_sections(space),
    )


def _pictures(reduced: ReducedSeries) -> tuple[Picture, ...]:
    o, merged = reduced.orientation, reduced.merged
    return (
        ("Spots over frames", "Spots found and indexed, and how far they reach.", lambda: spots_by_frame(reduced)),
        (
            "Tilt axis",
            "Left: cylindrical projection about the axis, where a lattice makes lines. Right: contrast of the lattice "
            "for trial azimuths; dashed the refined one.",
            lambda: cylinder(reduced),
        ),
        (
            "Cell",
            "Differences of neighbouring spots in the three planes through two reciprocal axes: clusters at whole "
            "numbers.",
            lambda: difference_vectors(reduced),
        ),
        ("Distortion", "Mean residuals over the detector, enlarged.", lambda: residual_map(reduced)),
        (
            "Frames",
            "Corrections of single frames with their standard deviations; centres and scales.",
            lambda: frame_corrections(reduced),
        ),
        (
            "Rocking curve",
            "Strong reflections: share of a reflection that a frame recorded, with the model of the same frames.",
            lambda: rocking_shape(reduced),
        ),
        (
            "Rocking curves of single reflections",
            "Integrated intensity of each frame with one standard deviation.",
            lambda: rocking_curves(reflections=reduced.reflections),
        ),
        ("Statistics", "By shells of equal volume; Wilson plot.", lambda: shell_statistics(reduced)),
        (
            "Sections",
            "h0l, hk0 and 0kl as averaged; grey: reflections that the lattice has.",
            lambda: sections(merged=merged, cell=o.cell),
        ),
    )


def _row(low: float, high: float, numbers: tuple[float, ...]) -> tuple[str, ...]:
    unique, complete, redundancy, r, cc, ratio = numbers
    shown = (f"{low:.2f} to {high:.2f}", f"{unique:.0f}", f"{complete:.0f}", f"{redundancy:.1f}")
    return (*shown, f"{r:.1f}", f"{cc:.1f}", f"{ratio:.1f}")


def reduction_page(reduced: ReducedSeries, *, name: str, space: ReciprocalMap | None = None) -> str:
    """The page as text; pictures and style are inside. ``space``: the map of all pixels, when it was made."""
    pictures = (*_pictures(reduced), *(() if space is None else (_space_picture(space),)))
    o, merged = reduced.orientation, reduced.merged
    lengths = " × ".join(f"{v:.3f}" for v in o.cell.parameters[:3])
    angles = ", ".join(f"{v:.2f}" for v in o.cell.parameters[3:])
    table = [
        _row(
            s.g_low_per_angstrom,
            s.g_high_per_angstrom,
            (
                s.reflections,
                s.completeness_percent,
                s.redundancy,
                s.r_int_percent,
                s.cc_half_percent,
                s.mean_i_over_sigma,
            ),
        )
        for s in reduced.shells
    ]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    style = files("validation.report").joinpath("style.css").read_text(encoding="utf-8")
    return environment.from_string(TEMPLATE).render(
        name=name,
        subtitle=f"{o.centring} {lengths} Å, {angles}°; Laue class {merged.hall}; {len(merged.hkl)} unique "
        f"reflections, R_int {merged.r_int_percent:.1f} %, completeness {merged.completeness_percent:.0f} %",
        pictures=[(title, caption, _data_url(make())) for title, caption, make in pictures],
        heads=HEADS,
        table=table,
        log=reduced.log,
        style=style,
    )


def _data_url(figure: Figure) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg(figure).encode("utf-8")).decode("ascii")


def write_reduction_page(path: Path, reduced: ReducedSeries, *, name: str, space: ReciprocalMap | None = None) -> None:
    """Write the page, whole or not at all."""
    write_text(path, reduction_page(reduced, name=name, space=space))
