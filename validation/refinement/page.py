"""The page docs/validation/refinement.md, from rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from validation.refinement.kept import Kept, code_digest
from validation.rows import Row, sections, write_markdown

SECTIONS = (
    ("Data", ("data-",)),
    ("Urea", ("urea-",)),
    ("Quartz", ("quartz-",)),
    ("Albite", ("albite-",)),
    ("Cinchonine, from raw frames", ("cinchonine-",)),
    ("Speed beside diffBloch", ("speed-",)),
    ("Frames whose truth is known: many mountings", ("mount-",)),
)

HEAD = """# Refinement on measured data: validation

Made by `edtwin validate refinement{flag} --pages docs/validation`; do not edit. The data are public and not part of the
project; their folder is named by `EDTWIN_REALDATA`.

R(obs) = Σ|√I_o − √I_c| / Σ√I_o over I > 3σ(I). "Held out" is every tenth frame: it takes no part in the refinement,
and nothing of it is fitted afterwards but its scale and two tilts. Every refinement starts from the published structure
with each free coordinate moved at random, with the settings of `edtwin refine --data` but for these: quartz takes
diffBloch's choice of beams, reflections and steps, without mosaicity as there; albite takes steps of 0.06°; urea takes
Jana's g_max and reflections (those that its published list has: Jana leaves out what differs by more than 15σ), and
like there its hydrogens are free. Cinchonine begins at the raw frames: `edtwin reduce --frames`, which reads the log
of the measurement beside them, then the refinement of its virtual frames, from the published model as it is.

What is read from a .cif_pets file is put right in two points before anything is refined. The listed cell counts and the
UB matrix gives the orientation only. The middle of the rotation range of the frames is put where the reflections are:
the median of the angle by which each must turn to meet the sphere, found without any model.
"""

DEVIATES = """
## What deviates, and why

- Urea beside Dyngo. Two numbers that the published m42 block does not name are explained by Dyngo's intensities. One is
  the correction of the thickness at high tilts (`tiltcorr`), T (1 + p (1/cos α − 1)): with one thickness for all tilts
  each frame's own best thickness follows this curve. The other is the variance of five mosaic blocks, turned about the
  axis perpendicular to beam and rotation axis. With
  both, and weak beams folded in by Bethe's potentials (`usebethe`), what is left is a few percent of single amplitudes,
  about as much as other lists of beams change (the rows below it): Dyngo's exact rule for strong and weak beams is not
  known.
- Urea refined: beams within 0.01 Å⁻¹ and three mosaic blocks, where Jana took 0.02 and five; χ² has more than one
  minimum in the mosaicity, and it ended below Jana's. With a thickness for each frame R falls in the frames held out
  too, which get the median.
- The axis of rotation of a frame is that of the series in a refinement; PETS lists one a frame.
- The thickness is one for all frames in a refinement (a wedge), also at high tilts.
- Quartz: diffBloch lets the apparent thickness depend on the orientation (a small network); one wedge for all frames
  is a stiffer model, the row with a thickness for each frame is the like one. What a thickness a frame buys
  beyond what is there shows in the frames held out, which get the median.
- The hand of quartz: z is a likelihood ratio of all reflections, by the t distribution that the residuals of either
  hand have, its variance from sums over frames and over equivalents. Before, it was by a normal distribution with all
  reflections taken as independent: 4.1 with one thickness, 4.4 with one a frame (3.1 when frames' common errors are
  allowed for). Residuals have the tails of a t distribution of two degrees of freedom, so that 12 of the 2269
  reflections made 73 % of the variance of the normal ratio. The change was made after those values had been seen on
  these data. It was judged by hands exchanged at random frame by frame, where z must be a standard deviation: its mean
  square is 1.01. DIALS' export, not looked at before, goes from 3.5 (2.0 with common errors) to 3.3.
- Albite: the published refinement is of three crystals, the .cif_pets file is of one of them, integrated anew; the
  kinematical one is of averaged data, with an extinction parameter that ours does not have: what one would bring
  stands in a row of its own. S.u.s alone put a refinement of one crystal 0.020 Å from the published structure in the
  mean, so that 0.01 Å cannot be expected of it.
- Cinchonine: the published refinement is kinematical, of XDS' averaged intensities to 0.98 Å, without hydrogens;
  ours is of virtual frames to 0.92 Å, of the same model. Chemistry knows the hand, the published refinement could not.
- Goals are set for all frames. Rows made with --quick are of every sixth frame and have no goal.
- In and Sn (49 and 50 electrons) are one element to every refinement: their ratio is not refined.
"""


def write_page(path: Path, rows: Sequence[Row], kept: Sequence[Kept], *, quick: bool) -> None:
    """Write the Markdown page."""
    head = HEAD.format(flag=" --quick" if quick else "")
    write_markdown(path, [head, *sections(rows, SECTIONS), DEVIATES, _states(kept)])


def _states(kept: Sequence[Kept]) -> str:
    """Which state of the code made each case, and how long it took."""
    now = code_digest()
    lines = [
        "\n## How the cases were made\n",
        "The command keeps what is done and goes on; a case is made anew when its file is deleted.\n",
        "| case | CPU s (other processes not counted) | code |",
        "|---|---|---|",
    ]
    lines += [f"| {k.name} | {k.cpu_s:.0f} | {k.code}{'' if k.code == now else ' (an earlier state)'} |" for k in kept]
    return "\n".join(lines) + "\n"
