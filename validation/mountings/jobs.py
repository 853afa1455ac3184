"""Which runs the study is made of: scenarios, seeds, and how far each is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SEEDS_FROM = 1001
NULL, RANDOM, SERIAL = "ito-01-null", "mgti2o5-random", "ito-03"
REFINED_ROWS = ("ito-01", "ito-02", "anatase", "brookite-cnrs-01", "brookite-cnrs-02", "mgti2o5")
SOLVED_ROWS = ("brookite-cnrs-03", "brookite-cnrs-04", "brookite-iit", "brookite-ua")
STUDY_ROWS = (*REFINED_ROWS, NULL, *SOLVED_ROWS, SERIAL)
FEWER = {NULL: 1}  # mountings


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run. sets: overrides of the scenario; label: what its record is called when not as the scenario.

    refined: whether it goes on to the refinements. again: label and overrides of a second refinement of the same
    reflections, with a record of its own.
    """

    scenario: str
    seed: int
    label: str = ""
    sets: tuple[str, ...] = ()
    refined: bool = True
    again: tuple[str, tuple[str, ...]] | None = None

    @property
    def name(self) -> str:
        return self.label or self.scenario


_SPECIAL = {
    NULL: ("ito-01", ("engine.kind=kinematical", "refinement.interaction=refined")),
}
_AGAIN = {"mgti2o5": (RANDOM, ("refinement.occupancies=fixed",))}


def jobs_of(names: Sequence[str], *, count: int) -> list[Job]:
    """``count`` mountings of each scenario (or special case), seed by seed: an interrupted study has some of each."""
    jobs = []
    for k in range(count):
        for name in names:
            scenario, sets = _SPECIAL.get(name, (name, ()))
            if k < FEWER.get(name, count):
                jobs.append(
                    Job(
                        scenario=scenario, label=name, seed=SEEDS_FROM + k, sets=sets, again=_AGAIN.get(name),
                        refined=name not in (*SOLVED_ROWS, SERIAL),
                    )
                )  # fmt: skip
    return jobs
