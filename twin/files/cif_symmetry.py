"""The space group of a CIF: Hall symbol first, then Hermann-Mauguin, then the list of operations.

What the file says more than once must agree: a Hall symbol that contradicts the operations beside it is an error,
because nothing tells which of the two is the misprint.
"""

from __future__ import annotations

import gemmi
import numpy as np

from twin.files.cif_fields import CifBlock
from twin.files.errors import InputError
from twin.model.crystal import Cell
from twin.physics.lattice import direct_matrix
from twin.physics.symmetry import primitive_operations

HALL = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall")
HERMANN_MAUGUIN = ("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_space_group_name_H-M_full")
OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
NUMBER = ("_space_group_IT_number", "_symmetry_Int_Tables_number")
MAX_OPERATIONS = 192
METRIC_TOLERANCE = 0.005  # relative; refined cells are not always exactly of the symmetry they are listed with


def read_hall(block: CifBlock) -> str:
    """Hall symbol of the block's space group, setting and origin."""
    listed = _listed_operations(block)
    hall = _from_hall(block) or _from_name(block, listed)
    if hall is None and listed is not None:
        hall = _known_hall(listed)
    if hall is None:
        tags = f"{HALL[0]}, {HERMANN_MAUGUIN[0]} or {OPERATIONS[0]}"
        raise InputError(f"{block.source}: no usable space group; give {tags}")
    if listed is not None and gemmi.symops_from_hall(hall) != listed:
        raise InputError(f"{block.source}: {OPERATIONS[0]} lists other operations than the space group '{hall}' has")
    _check_number(block, hall)
    return hall


def check_metric(cell: Cell, hall: str, *, source: str, tolerance: float = METRIC_TOLERANCE) -> None:
    """The cell must have the symmetry of the group: Rᵀ G R = G for every rotation, within the relative tolerance."""
    direct = direct_matrix(cell)
    metric = direct.T @ direct
    rotations = primitive_operations(hall).rotations.astype(float)
    images = rotations.transpose(0, 2, 1) @ metric @ rotations
    scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    worst = float(np.max(np.abs(images - metric) / scale))
    if worst > 2 * tolerance:
        shown = " ".join(f"{v:g}" for v in cell.parameters)
        raise InputError(f"{source}: the cell {shown} does not have the symmetry of its space group '{hall}'")


def _listed_operations(block: CifBlock) -> gemmi.GroupOps | None:
    texts = block.column(*OPERATIONS)
    if not texts:
        return None
    if len(texts) > MAX_OPERATIONS:
        raise InputError(f"{block.source}: {OPERATIONS[0]} has {len(texts)} rows; at most {MAX_OPERATIONS} are allowed")
    ops = []
    for text in texts:
        try:
            op = gemmi.Op(text)
        except (RuntimeError, ValueError):
            op = None
        if op is None or len(text) > 60 or abs(round(np.linalg.det(np.array(op.rot) / gemmi.Op.DEN))) != 1:
            shown = text[:40]
            raise InputError(f"{block.source}: {OPERATIONS[0]} has {shown!r}; one such as '-x,y+1/2,-z' is needed")
        ops.append(op.wrap())
    return gemmi.GroupOps(ops)


def _known_hall(ops: gemmi.GroupOps) -> str | None:
    group: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_ops(ops)
    return None if group is None else str(group.hall)


def _from_hall(block: CifBlock) -> str | None:
    symbol = block.text(*HALL)
    if symbol is None:
        return None
    try:
        ops = gemmi.symops_from_hall(symbol.strip())
        known = gemmi.find_spacegroup_by_ops(ops)
        count = len(list(ops))
    except (RuntimeError, ValueError):
        known, count = None, 0
    if not 1 <= count <= MAX_OPERATIONS:
        raise InputError(f"{block.source}: {HALL[0]} is {symbol[:40]!r}; a Hall symbol such as '-P 2ac 2ab' is allowed")
    return symbol.strip() if known is None else str(known.hall)


def _from_name(block: CifBlock, listed: gemmi.GroupOps | None) -> str | None:
    symbol = block.text(*HERMANN_MAUGUIN)
    if symbol is None:
        return None
    group: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_name(symbol)
    if group is None:
        return None
    if listed is not None and group.operations() != listed:  # the name leaves origin or axes open
        exact: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_ops(listed)
        if exact is not None and exact.number == group.number:
            return str(exact.hall)
    return str(group.hall)


def _check_number(block: CifBlock, hall: str) -> None:
    """International Tables number and Hermann-Mauguin name, where given, must belong to the group."""
    group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(hall))
    if group is None:
        return
    text = block.text(*NUMBER)
    if text is not None and text.strip() != str(group.number):
        raise InputError(f"{block.source}: {NUMBER[0]} is {text[:20]!r} but '{hall}' is group number {group.number}")
    name = block.text(*HERMANN_MAUGUIN)
    named = None if name is None else gemmi.find_spacegroup_by_name(name)
    if named is not None and named.number != group.number:
        tag = HERMANN_MAUGUIN[0]
        raise InputError(f"{block.source}: {tag} is {name!r} but '{hall}' is group number {group.number}")
