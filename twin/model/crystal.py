"""Crystals as values: a cell, a space group by its Hall symbol, and the sites of one asymmetric unit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Unit cell; lengths in ångström, angles in degrees."""

    a_angstrom: float
    b_angstrom: float
    c_angstrom: float
    alpha_deg: float = 90.0
    beta_deg: float = 90.0
    gamma_deg: float = 90.0

    @property
    def parameters(self) -> tuple[float, float, float, float, float, float]:
        """(a, b, c, alpha, beta, gamma) in Å and degrees."""
        return (self.a_angstrom, self.b_angstrom, self.c_angstrom, self.alpha_deg, self.beta_deg, self.gamma_deg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One atom of the asymmetric unit.

    ``occupancy`` is the chemical occupancy (1 = the position is always filled by this element), never divided by
    the site multiplicity. Two elements that share a position are two sites with the same coordinates.
    ``u_aniso_angstrom2`` is (U11, U22, U33, U12, U13, U23) in the CIF convention (dimensionless axes a*, b*, c*);
    when it is given ``u_iso_angstrom2`` is its equivalent value and is not used.
    """

    label: str
    element: str
    fract: tuple[float, float, float]
    occupancy: float = 1.0
    u_iso_angstrom2: float = 0.005
    u_aniso_angstrom2: tuple[float, float, float, float, float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crystal:
    """A crystal structure; ``hall`` fixes the space group *and* its setting and origin."""

    name: str
    cell: Cell
    hall: str
    sites: tuple[Site, ...]
