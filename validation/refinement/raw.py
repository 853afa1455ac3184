"""Cinchonine from raw frames to a dynamical refinement: nothing of the published reduction is used.

Continuous rotation, 405 frames of 0.2522°, JEOL F200 with a CheeTah; published with XDS and SHELXL (kinematical, R1
17.65 %).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import process_time

from pipeline.refinement.hand import inverted
from twin.files.errors import InputError
from twin.model.crystal import Crystal
from validation.command import edtwin
from validation.compare import compare_structures
from validation.refinement.cases import Case
from validation.refinement.measured import figure_rows, hand_row, published_model, refine_case
from validation.rows import Row

FRAMES = "cinchonine/diff_raw_405x512x512_u16.h5"  # with the log of the measurement beside them
CINCHONINE = Case(
    id="cinchonine",
    title="cinchonine, dynamical",
    data="reflections_dyn.cif_pets",  # of our reduction
    model="cinchonine/shelxl/shelxl.cif",
    peer="SHELXL on XDS' intensities, kinematical",
    peer_value=17.65,
)


def raw_rows(folder: Path, work: Path) -> list[Row]:
    """Reduce the frames into ``work``, refine the published model kinematically and both hands dynamically."""
    reduced = work / "cinchonine"
    ended = edtwin("reduce", "--frames", str(folder / FRAMES), "--overwrite", "-o", str(reduced))
    if ended.code != 0:
        raise InputError(f"{folder / FRAMES}: no reflections: {ended.said}")
    case = replace(CINCHONINE, data=str((reduced / CINCHONINE.data).resolve()))
    weak = replace(
        case, id="cinchonine-kinematical", title="cinchonine, kinematical on the same frames",
        settings={**case.settings, "kinematical": True},
    )  # fmt: skip
    model = published_model(case, folder)
    rows = []
    for each in (case, weak):
        started = process_time()
        found = refine_case(each, folder, every=1, model=model)
        rows += figure_rows(each, found, every=1, cpu_s=process_time() - started)
        rows.append(_structure(each, found.crystal, model))
        if each is case:
            other = refine_case(case, folder, every=1, model=inverted(model))
            rows.append(hand_row(case, found, other, least=None))
    return rows


def _structure(case: Case, refined: Crystal, published: Crystal) -> Row:
    """How far the atoms are from the published ones; the origin along b is free."""
    found = compare_structures(published, refined)
    return Row(
        id=f"{case.id}-structure", quantity=f"{case.title}: mean distance of the atoms from the published ones",
        value=found.mean_distance_angstrom, unit="Å", n=len(refined.sites),
        note=f"largest {found.max_distance_angstrom:.3f} Å",
    )  # fmt: skip
