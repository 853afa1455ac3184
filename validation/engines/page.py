"""The page docs/validation/engines.md, from rows."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from validation.rows import Row, sections, write_markdown

GROWTH = "Growth of the cost"
SECTIONS = (
    ("Agreement with other packages", "agree-"),
    ("Limits, conservation, derivatives", "limit-"),
    ("What the cut-off in excitation error costs", ("truncation-", "adaptive-")),
    ("Far beams as a perturbation", "far-"),
    ("Speed against other packages", ("frame-", "converged-", "single-")),
    ("Derivatives", "derivatives-"),
    (GROWTH, "growth-"),
    ("Other methods", "method-"),
    ("Multislice against Bloch waves: slab, same Fourier potential", "slab-"),
    ("Beams far from the Ewald sphere: what heavy atoms need", "depth-"),
    ("Multislice against the column approximation: sphere, precessed", "sphere-"),
    ("Multislice against abTEM", "abtem-"),
    ("Workers", "workers-"),
)

COMMAND = "`edtwin validate engines --pages docs/validation`"
HEAD = """# Scattering engines: validation

Made by {command}
on {machine} (numpy {numpy}, one BLAS thread); do not edit.
The peers run in their own environments, named by
`EDTWIN_PEER_ABTEM`, `EDTWIN_PEER_DIFFBLOCH` and `EDTWIN_PEER_PY4DSTEM`.

All engines get the same Fourier coefficients (electron scattering factors of International Tables C 4.3.2.2, U_0 = 0),
the same orientations and the same list of beams for each azimuth. Crystal: In2O3 unless said otherwise, 200 kV,
g_max 1.6 Å⁻¹, a direction away from low-index zones. Times are CPU seconds of one thread, medians of interleaved
repeats; what takes less than 20 ms is repeated so long, ours and theirs. The peers' times are of matrix assembly and
solution only; ours include the selection of beams. Ours sum to 1e-7 of an amplitude in 64 bit and to 2e-7 in 32 bit;
what that leaves of the intensities is among the limits below. `EDTWIN_STILL` may name a command that is put before each
part that measures time, to keep other work off the machine.
diffBloch works in 32 bit, abTEM and py4DSTEM in 64 bit; for the agreement diffBloch's matrix is exponentiated in
64 bit.

Why packages differ: with M = (1 + g_n/K_n)^(−1/2), the structure matrix is M (2K s + U) M here and in abTEM 1.0.11.
diffBloch 0.2.0rc1 has M instead of M² on the diagonal; py4DSTEM 0.14.18 takes s along the foil normal, which is M² s,
but leaves M out of the other elements. "Their formula" is our propagator with these changes: it reproduces each peer
to its own rounding. abTEM's intensities are of plane-wave amplitudes Mψ, ours of flux amplitudes ψ; the comparison
allows for it.

Cut-offs are judged by R1 = Σ|√I − √I_ref| / Σ√I_ref over the reflections that cross the Ewald sphere within the
exposure. A share of the matrix-product peak counts 2 n² operations for each term and azimuth, n being the beams of a
block, over the whole time, selection of beams and look-up included.
"""

FIGURE = "\n![Growth of the cost](engines_growth.png)\n"


def write_page(path: Path, rows: Sequence[Row], *, figure: bool, command: str = COMMAND) -> None:
    """Write the Markdown page."""
    head = HEAD.format(command=command, machine=platform.machine(), numpy=version("numpy"))
    write_markdown(path, [head, *sections(rows, SECTIONS, behind={GROWTH: FIGURE} if figure else None)])
