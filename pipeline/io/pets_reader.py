"""Reading of .cif_pets files in all dialects met so far; see :mod:`pipeline.io.cif_pets` for what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twin.files.errors import InputError
from twin.model.crystal import Cell

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LARGEST_BYTES = 200_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PetsFile:
    """Contents of a .cif_pets file, in the frame of PETS.

    zones: (frames,) ids; uvw (frames, 3); precession_deg, alpha_deg, beta_deg, omega_deg, scale (frames,).
    hkl (n, 3), intensity, sigma (n,), zone (n,) index into ``zones`` (−1 when the file names none). ``details``:
    free text.
    """

    cell: Cell
    wavelength_angstrom: float
    ub: Floats
    zones: Ints
    uvw: Floats
    precession_deg: Floats
    alpha_deg: Floats
    beta_deg: Floats
    omega_deg: Floats
    scale: Floats
    hkl: Ints
    intensity: Floats
    sigma: Floats
    zone: Ints
    details: str = ""


def _number(text: str, *, key: str, path: object) -> float:
    try:
        value = float(text.split("(")[0])
    except ValueError:
        raise InputError(f"{path}: {key} is '{text[:40]}', a number is needed") from None
    if not np.isfinite(value):
        raise InputError(f"{path}: {key} is '{text[:40]}', a finite number is needed")
    return value


def _tokens(text: str) -> tuple[dict[str, str], list[tuple[list[str], list[list[str]]]], str]:
    """Items, loops (names, rows) and the free text of a file; tolerant of comments and blank lines anywhere."""
    items: dict[str, str] = {}
    loops: list[tuple[list[str], list[list[str]]]] = []
    details: list[str] = []
    in_text, in_names = False, False
    for raw in text.splitlines():
        if raw.startswith(";"):
            in_text = not in_text
            continue
        if in_text:
            details.append(raw)
            continue
        line = raw.strip()
        if not line or line.startswith("#") or line.lower().startswith("data_"):
            continue
        if line.lower() == "loop_":
            loops.append(([], []))
            in_names = True
        elif line.startswith("_"):
            parts = line.split(None, 1)
            if in_names and len(parts) == 1:
                loops[-1][0].append(parts[0].lower())
            else:
                in_names = False
                items[parts[0].lower()] = parts[1].strip().strip("'\"") if len(parts) == 2 else ""
                if loops and not loops[-1][1]:
                    loops.pop()
        elif loops:
            in_names = False
            loops[-1][1].append(line.split())
    return items, loops, "\n".join(details)


def _table(loops: list[tuple[list[str], list[list[str]]]], first: str, path: object) -> tuple[list[str], Floats]:
    for names, rows in loops:
        if first in names:
            if any(len(r) != len(names) for r in rows):
                raise InputError(f"{path}: the loop of {first} has {len(names)} columns, but a row has another number")
            try:
                values = np.array(rows, dtype=np.float64).reshape(-1, len(names))
            except ValueError:
                raise InputError(f"{path}: the loop of {first} holds something that is not a number") from None
            if not np.all(np.isfinite(values)):
                raise InputError(f"{path}: the loop of {first} holds a value that is not finite")
            return names, values
    raise InputError(f"{path}: there is no loop with {first}")


def parse_cif_pets(text: str, *, source: object = "text") -> PetsFile:
    """A .cif_pets file from its text; :class:`InputError` with one sentence when it is not one."""
    items, loops, details = _tokens(text)

    def item(key: str) -> float:
        if key not in items:
            raise InputError(f"{source}: {key} is missing")
        return _number(items[key], key=key, path=source)

    ub = np.array([[item(f"_diffrn_orient_matrix_ub_{i}{j}") for j in (1, 2, 3)] for i in (1, 2, 3)])
    if abs(np.linalg.det(ub)) < 1e-12:
        raise InputError(f"{source}: _diffrn_orient_matrix_UB is singular")
    lengths = [item(f"_cell_length_{k}") for k in "abc"]
    angles = [item(f"_cell_angle_{k}") for k in ("alpha", "beta", "gamma")]
    if min(lengths) <= 0 or min(angles) <= 0 or max(angles) >= 180:
        raise InputError(f"{source}: the cell {lengths} {angles} is impossible")
    names, zones = _table(loops, "_diffrn_zone_axis_id", source)
    columns = {n.removeprefix("_diffrn_zone_axis_"): zones[:, i] for i, n in enumerate(names)}
    names, rows = _table(loops, "_refln_index_h", source)
    data = {n.removeprefix("_refln_"): rows[:, i] for i, n in enumerate(names)}
    wanted = {"index_h", "index_k", "index_l", "intensity_meas", "intensity_sigma"}
    if not wanted <= set(data) or not {"u", "v", "w", "precession_angle", "alpha", "omega"} <= set(columns):
        raise InputError(
            f"{source}: a loop lacks one of {sorted(wanted | {'zone_axis_u', 'zone_axis_alpha', 'zone_axis_omega'})}"
        )
    ids = columns["id"].astype(np.int64)
    zone = np.full(len(rows), -1, dtype=np.int64)
    if "zone_axis_id" in data and len(ids):
        order = np.argsort(ids)
        at = np.clip(np.searchsorted(ids[order], data["zone_axis_id"].astype(np.int64)), 0, len(ids) - 1)
        zone = np.where(ids[order][at] == data["zone_axis_id"], order[at], -1)
    flat = np.zeros(len(ids))
    return PetsFile(
        cell=Cell(
            a_angstrom=lengths[0],
            b_angstrom=lengths[1],
            c_angstrom=lengths[2],
            alpha_deg=angles[0],
            beta_deg=angles[1],
            gamma_deg=angles[2],
        ),
        wavelength_angstrom=item("_diffrn_radiation_wavelength"),
        ub=ub,
        zones=ids,
        uvw=np.stack([columns[k] for k in "uvw"], axis=1),
        precession_deg=columns["precession_angle"],
        alpha_deg=columns["alpha"],
        beta_deg=columns.get("beta", flat),
        omega_deg=columns["omega"],
        scale=columns.get("scale", flat + 1.0),
        hkl=np.stack([data[f"index_{k}"] for k in "hkl"], axis=1).astype(np.int64),
        intensity=data["intensity_meas"],
        sigma=data["intensity_sigma"],
        zone=zone,
        details=details,
    )


def read_cif_pets(path: str | Path) -> PetsFile:
    """Read a .cif_pets file."""
    file = Path(path)
    try:
        if file.stat().st_size > _LARGEST_BYTES:
            raise InputError(f"{file}: larger than {_LARGEST_BYTES} bytes")
        text = file.read_text(encoding="latin-1")
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
    return parse_cif_pets(text, source=file)
