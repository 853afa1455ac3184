"""Published refinements to stand beside: reflections, sites and standard uncertainties of their CIFs.

Read by lines, since CIFs of Jana can break a strict parser.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from twin.files.errors import InputError
from twin.model.crystal import Crystal
from twin.physics.lattice import Floats, Ints

_NAMES = (
    "_refln_index_h",
    "_refln_index_k",
    "_refln_index_l",
    "_refln_intensity_calc",
    "_refln_intensity_meas",
    "_refln_intensity_sigma",
    "_refln_scale_group_code",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JanaList:
    """hkl (n, 3), calculated, measured and sigma of I (n,), zone (n,) as numbered in the .cif_pets file, from 1."""

    hkl: Ints
    calculated: Floats
    measured: Floats
    sigma: Floats
    zone: Ints


def read_jana_list(path: Path) -> JanaList:
    """The first reflection loop of a Jana2020 CIF."""
    lines = path.read_text(encoding="latin-1").splitlines()
    try:
        begin = next(i for i, line in enumerate(lines) if line.strip() == _NAMES[0])
    except StopIteration:
        raise InputError(f"{path}: no loop with {_NAMES[0]}") from None
    end = begin
    while lines[end].strip().startswith("_"):
        end += 1
    columns = [line.strip() for line in lines[begin:end]]
    missing = [name for name in _NAMES if name not in columns]
    if missing:
        raise InputError(f"{path}: the loop of reflections lacks {missing[0]}")
    rows = []
    for line in lines[end:]:
        words = line.split()
        if len(words) != len(columns):
            break
        rows.append([float(words[columns.index(name)]) for name in _NAMES])
    table = np.array(rows, dtype=np.float64).reshape(-1, len(_NAMES))
    return JanaList(
        hkl=table[:, :3].astype(np.int64),
        calculated=table[:, 3],
        measured=table[:, 4],
        sigma=table[:, 5],
        zone=table[:, 6].astype(np.int64),
    )


def read_jana_sites(path: Path, crystal: Crystal) -> Crystal:
    """``crystal`` with the coordinates and tensors of the m40 block of the CIF, which are not rounded to their s.u.s.

    An atom has two lines of columns nine wide: label and codes, occupancy, x, y, z; U11 U22 U33 U12 U13 U23.
    """
    lines = path.read_text(encoding="latin-1").splitlines()
    try:
        begin = next(i for i, line in enumerate(lines) if line.strip() == "_Jana_m40_file")
        end = next(i for i, line in enumerate(lines) if i > begin and "s.u. block" in line)
        sites = []
        for site in crystal.sites:
            at = next(i for i in range(begin, end) if lines[i].split()[:1] == [site.label])
            x, y, z = (float(lines[at][k : k + 9]) for k in (27, 36, 45))
            a, b, c, d, e, f = (float(lines[at + 1][k : k + 9]) for k in range(0, 54, 9))
            sites.append(replace(site, fract=(x, y, z), u_aniso_angstrom2=(a, b, c, d, e, f)))
    except (StopIteration, ValueError):
        raise InputError(f"{path}: no m40 block with the sites of '{crystal.name}'") from None
    return replace(crystal, sites=tuple(sites))


_WITH_SU = re.compile(r"-?\d*\.(\d+)\((\d+)\)")


def read_coordinate_su(path: Path) -> dict[str, float]:
    """s.u. of the fractional coordinates of the first list of atoms, by name ('O1.x'); only of those that have one."""
    lines = [line.strip() for line in path.read_text(encoding="latin-1").splitlines()]
    begin = next((i for i, line in enumerate(lines) if line == "_atom_site_label"), None)
    if begin is None:
        raise InputError(f"{path}: no loop with _atom_site_label")
    end = next(i for i in range(begin, len(lines)) if not lines[i].startswith("_"))
    columns, found = lines[begin:end], {}
    for line in lines[end:]:
        words = line.split()
        if len(words) != len(columns):
            break
        for axis in "xyz":
            match = _WITH_SU.fullmatch(words[columns.index(f"_atom_site_fract_{axis}")])
            if match:
                found[f"{words[0]}.{axis}"] = int(match[2]) * 10.0 ** -len(match[1])
    return found
