"""``edtwin compare``: two CIFs, atom by atom."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group
from rich.table import Table

from twin.files.cif import read_crystal
from validation.compare import Comparison, compare_structures


def compared(reference: Path, other: Path) -> Group:
    """Distances in Å after origin, setting and hand are matched, for the terminal."""
    comparison = compare_structures(read_crystal(reference), read_crystal(other))
    return Group(_sites(comparison, title=f"{reference.name} against {other.name}"), *_sentences(comparison))


def _sites(comparison: Comparison, *, title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("site", "partner", "element", "multiplicity", "distance / Å"):
        table.add_column(heading, justify="right" if heading[0] in "md" else "left")
    for site in comparison.sites:
        distance = f"{site.distance_angstrom:.4f}"
        table.add_row(site.label, site.other_label, site.element, str(site.multiplicity), distance)
    return table


def _sentences(comparison: Comparison) -> list[str]:
    group = "the same" if comparison.same_space_group else "a different"
    lines = [
        f"mean {comparison.mean_distance_angstrom:.4f} Å, largest {comparison.max_distance_angstrom:.4f} Å, "
        f"rms {comparison.rms_distance_angstrom:.4f} Å; {group} space group type"
        + ("; the hand was inverted" if comparison.hand_inverted else ""),
        f"lattice distortion S = {comparison.lattice_distortion:.5f}, similarity Δ = {comparison.similarity:.4f}",
    ]
    for what, labels in (("missing", comparison.missing), ("spurious", comparison.spurious)):
        if labels:
            lines.append(f"{what}: {', '.join(labels)}")
    return lines
