"""The .cif_pets files of PETS2 and their relatives: read in all dialects met so far, written so that Jana2020
reads them.

A file holds a cell, a UB (Å⁻¹, laboratory of PETS: x right, y up, K along −z; g = M UB h with
M = R_z(ω) R_x(α) R_y(β)), the zones (frames) and reflections with the zone on which each was measured. Dialects differ
in the name of the cell's s.u., in comments and free text between the items, and in whether ``_diffrn_pets_omega`` and
``_diffrn_zone_axis_beta`` are there. The kinematical file has one line for each reflection, the dynamical one a
line for
each reflection and frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.types import MergedReflections, Orientation, Reflections
from twin.files.errors import InputError
from twin.model.crystal import Cell
from twin.physics.electrons import wavelength_angstrom
from twin.physics.lattice import cell_from_reciprocal_matrix

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FLIP = np.diag([1.0, -1.0, -1.0])  # our laboratory turned by 180 degrees about x is that of PETS
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


def _rotations(axis: int, angles_deg: Floats) -> Floats:
    c, s = np.cos(np.radians(angles_deg)), np.sin(np.radians(angles_deg))
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    out = np.tile(np.eye(3), (len(c), 1, 1))
    out[:, i, i] = out[:, j, j] = c
    out[:, i, j], out[:, j, i] = -s, s
    return out


def zone_rotations(pets: PetsFile) -> Floats:
    """M = R_z(ω) R_x(α) R_y(β) of every zone, (frames, 3, 3), in the frame of PETS."""
    return np.asarray(_rotations(2, pets.omega_deg) @ _rotations(0, pets.alpha_deg) @ _rotations(1, pets.beta_deg))


def zone_excitation(pets: PetsFile) -> tuple[Floats, Floats]:
    """Excitation error (Å⁻¹) of each reflection at the middle of its zone, and |g| (n,); K runs along −z."""
    g = np.einsum("nij,nj->ni", zone_rotations(pets)[pets.zone], pets.hkl @ pets.ub.T)
    return np.asarray(g[:, 2] - np.sum(g**2, axis=1) * pets.wavelength_angstrom / 2), np.linalg.norm(g, axis=1)


def to_laboratory(pets: PetsFile) -> tuple[Floats, Floats]:
    """ub (3, 3) and rotation (frames, 3, 3) in our laboratory: rotation[f] @ ub @ hkl."""
    first = _rotations(2, np.array([float(np.median(pets.omega_deg))]))[0] if len(pets.omega_deg) else np.eye(3)
    ub = FLIP @ first @ pets.ub
    return ub, np.asarray(FLIP @ zone_rotations(pets) @ first.T @ FLIP)


def _euler_zxy(m: Floats) -> tuple[Floats, Floats, Floats]:
    """ω, α, β in degrees with m = R_z(ω) R_x(α) R_y(β); (frames, 3, 3) -> three (frames,)."""
    alpha = np.arcsin(np.clip(m[:, 2, 1], -1.0, 1.0))
    beta = np.arctan2(-m[:, 2, 0], m[:, 2, 2])
    omega = np.arctan2(-m[:, 0, 1], m[:, 1, 1])
    return np.degrees(omega), np.degrees(alpha), np.degrees(beta)


def pets_geometry(orientation: Orientation) -> tuple[Floats, Floats, Floats, Floats]:
    """UB in the frame of PETS, and ω, α, β (degrees) of every frame: our φ is their −ω."""
    omega0 = -orientation.microscope.projection.tilt_axis_deg
    zero = _rotations(2, np.array([omega0]))[0]
    ub = zero.T @ FLIP @ orientation.ub
    m = FLIP @ orientation.rotation @ FLIP @ zero
    omega, alpha, beta = _euler_zxy(m)
    return ub, omega, alpha, beta


def _head(orientation: Orientation, *, mode: str, g_max: float, width: float) -> list[str]:
    cell = cell_from_reciprocal_matrix(orientation.ub)
    ub = pets_geometry(orientation)[0]
    volume = 1.0 / abs(float(np.linalg.det(orientation.ub)))
    names = ("length_a     ", "length_b     ", "length_c     ", "angle_alpha  ", "angle_beta   ", "angle_gamma  ")
    lines = [
        "data_pets",
        *[f"_cell_{n}{v:10.5f}" for n, v in zip(names, cell.parameters, strict=True)],
        f"_cell_volume       {volume:12.5f}",
    ]
    lines.append(
        f"_diffrn_radiation_wavelength {wavelength_angstrom(energy_kev=orientation.microscope.beam.energy_kev):.5f}"
    )
    lines += [f"_diffrn_orient_matrix_UB_{i + 1}{j + 1} {ub[i, j]:8.5f}" for i in range(3) for j in range(3)]
    lines += [
        "_diffrn_pets_omega  0.00000",
        "",
        "_diffrn_measurement_details",
        ";",
        f"data collection geometry: {mode}",
    ]
    lines += [f"dstarmax:  {g_max:.3f}", f"RC width:  {width:.5f}", "mosaicity:  0.000"]
    omega = (-orientation.microscope.projection.tilt_axis_deg) % 360.0
    return [*lines, f"rotation axis position:  {omega:.3f}", ";", ""]


def _zones(orientation: Orientation, frames: Ints, precession_deg: float, scale: Floats) -> list[str]:
    _, omega, alpha, beta = pets_geometry(orientation)
    names = ("id", "u", "v", "w", "precession_angle", "alpha", "beta", "omega", "scale")
    lines = ["loop_", *[f"_diffrn_zone_axis_{n}" for n in names]]
    axes = orientation.rotation @ orientation.ub
    for n, f in enumerate(frames):
        uvw = -axes[f, 2, :]  # z of PETS runs against the beam
        uvw = uvw / max(float(np.max(np.abs(uvw))), 1e-12)
        lines.append(
            f"{n + 1:4d} {uvw[0]:8.5f} {uvw[1]:8.5f} {uvw[2]:8.5f} {precession_deg:12.3f} "
            f"{alpha[f]:9.3f} {beta[f]:9.3f} {omega[f] % 360.0:9.3f} {scale[f]:9.3f}"
        )
    return lines


def _rows(hkl: Ints, intensity: Floats, sigma: Floats, zone: Ints) -> list[str]:
    names = ("index_h", "index_k", "index_l", "intensity_meas", "intensity_sigma", "zone_axis_id")
    body = [
        f"{h:4d}{k:4d}{m:4d} {i:12.2f}{s:12.2f}{z:6d}"
        for (h, k, m), i, s, z in zip(hkl.tolist(), intensity.tolist(), sigma.tolist(), zone.tolist(), strict=True)
    ]
    return ["loop_", *[f"_refln_{n}" for n in names], *body]


_MODES = {"precession": "precession", "continuous": "continuous rotation", "stills": "static"}


def dynamical_cif_pets(
    *,
    orientation: Orientation,
    reflections: Reflections,
    mode: str = "precession",
    r_s_g_max: float | None = 0.9,
    g_max_per_angstrom: float | None = None,
) -> str:
    """Text of the dynamical file: all reflections, frame by frame, with |s| ≤ ``r_s_g_max`` times |g| φ (None: all)."""
    r = reflections
    length = np.linalg.norm(r.hkl @ orientation.ub.T, axis=1)
    keep = orientation.indexed[r.frame]
    if r_s_g_max is not None and r.precession_deg > 0:
        keep = keep & (np.abs(r.excitation_error_per_angstrom) <= r_s_g_max * length * np.radians(r.precession_deg))
    frames = np.unique(r.frame[keep])
    number = np.searchsorted(frames, r.frame[keep]) + 1
    order = np.lexsort((r.hkl[keep, 2], r.hkl[keep, 1], r.hkl[keep, 0], number))
    g_max = g_max_per_angstrom or float(np.max(length, initial=0.0))
    lines = _head(orientation, mode=_MODES[mode], g_max=g_max, width=0.001)
    lines += _zones(orientation, frames, r.precession_deg, r.frame_scale)
    lines += _rows(r.hkl[keep][order], r.intensity[keep][order], r.sigma[keep][order], number[order])
    return "\n".join(lines) + "\n"


def kinematical_cif_pets(
    *, orientation: Orientation, merged: MergedReflections, reflections: Reflections, mode: str = "precession"
) -> str:
    """Text of the kinematical file: one line for each merged reflection; the zone is the frame nearest to its
    middle."""
    r = reflections
    frames = np.flatnonzero(orientation.indexed)
    best = np.ones(len(merged.hkl), dtype=np.int64)
    nearest: dict[tuple[int, ...], tuple[float, int]] = {}
    for h, s, f in zip(
        map(tuple, r.hkl.tolist()), np.abs(r.excitation_error_per_angstrom).tolist(), r.frame.tolist(), strict=True
    ):
        if h not in nearest or s < nearest[h][0]:
            nearest[h] = (s, f)
    position = {int(f): n + 1 for n, f in enumerate(frames)}
    for n, h in enumerate(map(tuple, merged.hkl.tolist())):
        best[n] = position.get(nearest.get(h, (0.0, -1))[1], 1)
    lines = _head(orientation, mode=_MODES[mode], g_max=merged.g_max_per_angstrom, width=0.001)
    lines += _zones(orientation, frames, r.precession_deg, r.frame_scale)
    lines += _rows(merged.hkl, merged.intensity, merged.sigma, best)
    return "\n".join(lines) + "\n"
