"""A short page, whole in one file: pictures, tables, and what was noted. ``solution_page`` makes one of a solution."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import jinja2
import numpy as np
from matplotlib.figure import Figure

from pipeline.types import Solution
from validation.plots.structure import density_sections
from validation.plots.style import svg
from validation.report.solution import candidate_table, peak_table, start_table
from validation.report.tables import ReportTable, TableRow, number

_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title><style>{{ style | safe }}</style></head>
<body><header class="top"><div class="inner"><p class="eyebrow">{{ eyebrow }}</p><h1>{{ title }}</h1>
<p class="subtitle">{{ subtitle }}</p></div></header>
<main class="inner">
{% for part in parts %}<section><h2>{{ part.title }}</h2>
{% if part.picture %}<figure><img src="{{ part.picture }}" alt="{{ part.title }}">
<figcaption>{{ part.caption }}</figcaption></figure>{% endif %}
{% if part.table %}<div class="scroll"><table class="numbers"><thead><tr>
{% for head in part.table.head %}<th>{{ head }}</th>{% endfor %}</tr></thead><tbody>
{% for row in part.table.rows %}<tr>{% for cell in row.cells %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>{% endif %}</section>
{% endfor %}<section><h2>Notes</h2><ul class="notes">
{% for line in notes %}<li>{{ line }}</li>{% endfor %}</ul></section></main></body></html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A section: a picture as a data URL with its caption, a table, or both."""

    title: str
    picture: str = ""
    caption: str = ""
    table: ReportTable | None = None


def data_url(figure: Figure) -> str:
    """The figure as an SVG data URL."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg(figure).encode("utf-8")).decode("ascii")


def short_page(*, eyebrow: str, title: str, subtitle: str, parts: Sequence[Part], notes: Sequence[str]) -> str:
    """HTML without links to the outside."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    style = files("validation.report").joinpath("style.css").read_text(encoding="utf-8")
    return environment.from_string(_TEMPLATE).render(
        eyebrow=eyebrow, title=title, subtitle=subtitle, parts=parts, notes=notes, style=style
    )


def solution_page(*, title: str, solution: Solution, notes: Sequence[str]) -> str:
    """Verdict, atoms, sections through the density, groups with their scores, starts and peaks."""
    parts: list[Part] = []
    crystal, density = solution.crystal, solution.density
    if crystal is not None:
        rows = tuple(
            TableRow(cells=(s.label, s.element, *(number(x, 4) for x in s.fract), number(s.occupancy, 3)))
            for s in crystal.sites
        )
        parts.append(Part(title="Atoms", table=ReportTable(head=("site", "element", "x", "y", "z", "occ."), rows=rows)))
        if density is not None and np.ptp(density) > 0:
            picture = data_url(density_sections(crystal=crystal, density=density))
            caption = "The layer with most atoms normal to each axis, largest value in a thin slab; circles: the model."
            parts.append(Part(title="Density", picture=picture, caption=caption))
    tables = (
        ("Space groups tried", candidate_table(solution)),
        ("Random starts", start_table(solution)),
        ("Peaks of the density", peak_table(solution)),
    )
    parts += [Part(title=name, table=table) for name, table in tables if table is not None]
    return short_page(
        eyebrow="edtwin, structure solution", title=title, subtitle=solution.verdict, parts=parts, notes=notes
    )
