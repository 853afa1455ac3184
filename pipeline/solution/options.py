"""What a user may choose of charge flipping, in the words that its users know.

Threshold: Oszlányi & Sütő, Acta Cryst. A60 (2004) 134; weak reflections: A61 (2005) 147; normalised amplitudes and
unmeasured reflections: A64 (2008) 123; the program that made the words known: Palatinus & Chapuis, J. Appl. Cryst. 40
(2007) 786.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Normalisation = Literal["E", "F"]
Missing = Literal["bound", "float", "zero"]
Repeat = Literal["nosuccess", "always"]

DELTA_OF: dict[Normalisation, float] = {"E": 1.15, "F": 1.05}  # when no threshold is given
RANGE: dict[str, tuple[float, float]] = {
    "delta": (0.1, 5), "bound_e": (0, 5), "weak_share": (0, 0.9), "cycles": (1, 100_000), "polish": (1, 1000),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipOptions:
    """Options of charge flipping; ValueError, naming the option, for a value that is not allowed.

    delta: threshold below which density changes its sign, in standard deviations of the density, which is looked at in
    every cycle; None: what suits the amplitudes. normalise: 'E' flips with normalised amplitudes, 'F' with √I as
    measured. missing: reflections inside the sphere that nobody measured 'float' (keep what the density gives), float
    up to a 'bound' of ``bound_e`` |E|, or are 'zero'. weak_share: of the measured reflections, whose amplitudes are
    left to the density while their phases are turned by π/2. cycles: of flipping in the first batch of starts, later
    ones take four times as many; polish: of low-density elimination after them. repeat: 'nosuccess' makes another
    batch of starts only while nothing is solved, 'always' makes all of them and keeps the best.
    """

    delta: float | None = None
    normalise: Normalisation = "E"
    missing: Missing = "bound"
    bound_e: float = 0.8  # √(2/π), the mean |E| of centric reflections (Wilson, Acta Cryst. 2 (1949) 318)
    weak_share: float = 0.3
    cycles: int = 135
    polish: int = 8
    repeat: Repeat = "nosuccess"

    def __post_init__(self) -> None:
        for name, kind in (("normalise", Normalisation), ("missing", Missing), ("repeat", Repeat)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed are {', '.join(get_args(kind))}")
        for name, (low, high) in RANGE.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} is {value:g}; allowed are {low} to {high}")

    @property
    def threshold(self) -> float:
        """The threshold in standard deviations of the density."""
        return DELTA_OF[self.normalise] if self.delta is None else self.delta


DEFAULT = FlipOptions()
