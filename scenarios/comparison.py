"""``edtwin compare``: two CIFs, atom by atom."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from rich.console import Group
from rich.table import Table

from twin.files.cif import read_crystal
from twin.files.errors import InputError
from validation.compare import Comparison, compare_structures

MODES: Mapping[str, Literal["best", "bcs"]] = {"best": "best", "bcs": "bcs"}


def compared(reference: Path, other: Path, *, mode: str = "best") -> Group:
    """Distances in Å after origin, setting and hand are matched, for the terminal; InputError for an unknown mode."""
    if mode not in MODES:
        raise InputError(f"--mode is '{mode[:40]}'; allowed are {', '.join(MODES)}")
    comparison = compare_structures(read_crystal(reference), read_crystal(other), mode=MODES[mode])
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
