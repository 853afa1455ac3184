"""Models in SHELXL .res and .ins files: cell, symmetry, atoms with free variables, as a Crystal.

Sheldrick, Acta Cryst. C71 (2015) 3. Read are CELL, LATT, SYMM, SFAC, FVAR and the atoms up to HKLF or END; Q peaks and
everything else are passed over. A number of 10·n ± x is fixed at x (n = 1) or x times (or x times 1 minus) a free
variable; U < 0 of a riding atom is a multiple of the U_eq before it. Occupancies (sof) are divided by the share of the
site's symmetry, so that they are chemical.
"""

from __future__ import annotations

import re
from pathlib import Path

import gemmi
import numpy as np

from twin.files.crystal_checks import check_crystal, check_values, snap_to_symmetry
from twin.files.errors import InputError
from twin.model.crystal import Cell, Crystal, Site
from twin.physics.lattice import direct_matrix
from twin.physics.symmetry import orbit

_CENTRING = {
    1: ((0, 0, 0),),
    2: ((0, 0, 0), (0.5, 0.5, 0.5)),
    3: ((0, 0, 0), (2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3)),
    4: ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)),
    5: ((0, 0, 0), (0, 0.5, 0.5)),
    6: ((0, 0, 0), (0.5, 0, 0.5)),
    7: ((0, 0, 0), (0.5, 0.5, 0)),
}
_COMMANDS = (
    "ABIN ACTA AFIX ANIS ANSC ANSR BASF BIND BLOC BOND BUMP CELL CGLS CHIV CONF CONN DAMP DANG DEFS DELU DFIX DISP "
    "EADP EQIV EXTI EXYZ FEND FLAT FMAP FRAG FREE FVAR GRID HFIX HTAB ISOR LAUE LATT LIST L.S. MERG MOLE MORE MOVE "
    "MPLA NCSY NEUT OMIT PART PLAN PRIG RESI RIGU RTAB SADI SAME SFAC SHEL SIMU SIZE SPEC STIR SUMP SWAT SYMM TEMP "
    "TITL TWIN TWST UNIT WGHT WIGL WPDB XNPD ZERR "
)


def read_shelx_model(path: str | Path) -> Crystal:
    """The structure of a .res or .ins file, validated."""
    file = Path(path)
    try:
        text = file.read_text(encoding="latin-1")
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
    return parse_shelx_model(text, source=str(file))


def parse_shelx_model(text: str, *, source: str) -> Crystal:
    """As :func:`read_shelx_model`, from its text."""
    lines = _lines(text)
    cell = _cell(lines, source)
    hall = _hall(lines, source)
    elements = _elements(lines)
    variables = [v for line in lines if line[0] == "FVAR" for v in _numbers(line[1:], source, "FVAR")]
    sites: list[Site] = []
    for line in lines:
        if line[0] in ("HKLF", "END"):
            break
        if line[0][:4] + " " in _COMMANDS or re.fullmatch(r"Q\d+", line[0]) or len(line) < 6:
            continue
        site = _site(line, elements, variables, sites, source)
        if site is not None:
            sites.append(site)
    if not sites:
        raise InputError(f"{source}: no atoms before HKLF or END")
    raw = Crystal(name=Path(source).stem, cell=cell, hall=hall, sites=tuple(sites))
    check_values(raw, source=source, cell_tolerance=0.005)
    crystal = _chemical(raw)
    check_crystal(crystal, source=source, cell_tolerance=0.005)
    return crystal


def _lines(text: str) -> list[list[str]]:
    """Instructions as words; continuation lines ("=") are joined, comments ("!") cut."""
    joined = re.sub(r"=[^\S\n]*\r?\n", " ", text)
    words = [line.split("!")[0].split() for line in joined.splitlines() if line[:1].strip() != ""]
    out = [[w[0].upper(), *w[1:]] for w in words if w]
    return [w for w in out if w[0] != "REM"]


def _numbers(words: list[str], source: str, key: str) -> list[float]:
    try:
        values = [float(w) for w in words]
    except ValueError:
        raise InputError(f"{source}: {key} holds '{' '.join(words)[:40]}'; only numbers are allowed") from None
    if not np.all(np.isfinite(values)):
        raise InputError(f"{source}: {key} holds a number that is not finite")
    return values


def _cell(lines: list[list[str]], source: str) -> Cell:
    words = next((line for line in lines if line[0] == "CELL"), None)
    if words is None or len(words) < 8:
        raise InputError(f"{source}: CELL with the wavelength and six numbers is missing")
    a, b, c, alpha, beta, gamma = _numbers(words[2:8], source, "CELL")
    return Cell(a_angstrom=a, b_angstrom=b, c_angstrom=c, alpha_deg=alpha, beta_deg=beta, gamma_deg=gamma)


def _hall(lines: list[list[str]], source: str) -> str:
    words = next((line for line in lines if line[0] == "LATT"), ["LATT", "1"])
    try:
        latt = int(words[1])
        centring = _CENTRING[abs(latt)]
    except (ValueError, IndexError, KeyError):
        raise InputError(f"{source}: LATT must be a number from 1 to 7, negative without a centre") from None
    triplets = ["x,y,z", *(" ".join(line[1:]).replace(" ", "").lower() for line in lines if line[0] == "SYMM")]
    try:
        ops = [gemmi.Op(t) for t in triplets]
    except (RuntimeError, ValueError):
        raise InputError(f"{source}: a SYMM card is not a symmetry operation such as -x, 1/2+y, -z") from None
    if latt > 0:
        ops += [gemmi.Op("-x,-y,-z") * op for op in ops]
    full = [op.translated([round(24 * v) for v in shift]).wrap() for op in ops for shift in centring]
    group = gemmi.find_spacegroup_by_ops(gemmi.GroupOps(full))
    if group is None:
        raise InputError(f"{source}: LATT and SYMM do not make a known space group")
    return str(group.hall)


def _elements(lines: list[list[str]]) -> list[str]:
    names: list[str] = []
    for line in lines:
        if line[0] != "SFAC":
            continue
        words = [w.lstrip("$") for w in line[1:]]
        letters = [w for w in words if w[:1].isalpha()]
        names += letters[:1] if len(words) > len(letters) else letters
    return [n.capitalize() for n in names]


def _site(line: list[str], elements: list[str], variables: list[float], before: list[Site], source: str) -> Site | None:
    label = line[0].capitalize()
    values = _numbers(line[1:12], source, f"atom {label}")
    number = int(values[0]) if values[0] == int(values[0]) else 0
    if not 1 <= number <= len(elements):
        raise InputError(f"{source}: atom {label} has the scattering factor {line[1]}; SFAC lists {len(elements)}")
    free = [_freed(v, variables, source, label) for v in values[1:]]
    given = free[4:]
    tensor = None
    if len(given) >= 6:
        tensor = (given[0], given[1], given[2], given[5], given[4], given[3])  # U11 U22 U33 U23 U13 U12
    u_iso = float(np.mean(given[:3])) if tensor is not None else given[0] if given else 0.05
    if u_iso < 0:
        parent = next((s for s in reversed(before) if s.element != "H"), None)
        u_iso = -u_iso * (parent.u_iso_angstrom2 if parent is not None else 0.05)
    return Site(
        label=label,
        element=elements[number - 1],
        fract=(free[0], free[1], free[2]),
        occupancy=free[3] if len(free) > 3 else 1.0,
        u_iso_angstrom2=u_iso,
        u_aniso_angstrom2=tensor,
    )


def _freed(value: float, variables: list[float], source: str, label: str) -> float:
    if abs(value) < 5:
        return value
    n = round(abs(value) / 10.0)
    x = abs(value) - 10.0 * n
    if n <= 1:
        return (x if value > 0 else -x) if n == 1 else value
    if n > len(variables):
        raise InputError(f"{source}: atom {label} refers to free variable {n}; FVAR lists {len(variables)}")
    return x * variables[n - 1] if value > 0 else x * (1.0 - variables[n - 1])


def _chemical(crystal: Crystal) -> Crystal:
    """Sites on symmetry elements put exactly there; occupancies as the share of the position that is filled."""
    direct = direct_matrix(crystal.cell)
    general = len(orbit((0.1234, 0.2345, 0.3456), crystal.hall))
    sites = []
    for site in crystal.sites:
        x, y, z = (float(v) for v in snap_to_symmetry(site.fract, crystal.hall, direct=direct))
        share = len(orbit((x, y, z), crystal.hall)) / general
        occupancy = site.occupancy / share
        sites.append(
            Site(
                label=site.label,
                element=site.element,
                fract=(x, y, z),
                occupancy=min(occupancy, 1.0) if occupancy < 1.01 else occupancy,
                u_iso_angstrom2=site.u_iso_angstrom2,
                u_aniso_angstrom2=site.u_aniso_angstrom2,
            )
        )
    return Crystal(name=crystal.name, cell=crystal.cell, hall=crystal.hall, sites=tuple(sites))
