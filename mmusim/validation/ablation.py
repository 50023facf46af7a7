"""Which laws of the machine the published times ask for: each alone, and each left out.

Unit costs are fitted once, with all laws, and stay. No constant of a law is fitted here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from mmusim.costs.machine import LAWS, Law
from mmusim.validation.predict import Costs, Times, predict, the_machine
from mmusim.validation.published import PublishedValue, Run
from mmusim.validation.score import Score, score

MACHINE: Final = the_machine()


MOST_VCPUS: Final = 64
"""Of a value that shows what a law does: it can be simulated again in seconds."""


class Variant(NamedTuple):
    """A machine that follows some of the laws."""

    name: str
    laws: tuple[Law, ...]
    score: Score

    @property
    def mean_factor(self) -> float:
        """Mean of the factors by which predictions are off."""
        off = [abs(math.log(max(row.ratio, 1e-9))) for row in self.score.rows]
        return sum(map(math.exp, off)) / len(off)

    @property
    def knees(self) -> int:
        """Series whose time begins to grow at the published number of vCPUs."""
        return sum(knee.published == knee.predicted for knee in self.score.knees)


def sets_of_laws() -> Iterator[tuple[str, tuple[Law, ...]]]:
    """Yield names and sets of laws: none, each alone, all, and each left out."""
    yield "none", ()
    for law in LAWS:
        yield f"{law} alone", (law,)
    yield "all", LAWS
    for law in LAWS:
        yield f"all but {law}", tuple(other for other in LAWS if other != law)


def concern(run: Run, phases: Iterable[str], laws: Iterable[Law]) -> frozenset[Law]:
    """Return those of the laws that can change the time of one of these phases of a run.

    A law of log operations changes no other phase, and a host of more threads than vCPUs stretches
    nothing. So a run is simulated once for all sets of laws that are the same to it.
    """
    assert MACHINE is not None
    named, through_rmap = " ".join(phases), "legacy" in run.policy or "shadow" in run.policy
    may = {
        "memory": run.vcpus > 1 and "memory" in named,
        "threads": run.vcpus > MACHINE.cores and "memory" in named,
        "remote": through_rmap and MACHINE.model().is_remote(run.vcpus),
        "first-touch": "populate" in named,
        "bitmaps": "enabling" in named or "get" in named,
        "indirect": "shadow" in run.policy and "memory" in named,
        "fresh-leaves": through_rmap and run.all_set and "clear" in named,
    }
    return frozenset(law for law in laws if may[law])


def ablation(
    values: Sequence[PublishedValue],
    costs: Costs,
    workers: int | None = None,
    scheduler: str | None = None,
    tell: Callable[[str], None] = lambda words: None,
) -> list[Variant]:
    """Return the score of each set of laws, with these unit costs.

    Parameters
    ----------
    values : sequence of PublishedValue
    costs : mapping
        Costs that replace those of the profile.
    workers, scheduler
        As for :func:`mmusim.execution.parallel.in_parallel`.
    tell : callable
        Called before runs are simulated with words that say which.
    """
    phases: dict[Run, set[str]] = {}
    for value in values:
        if value.run is not None:
            phases.setdefault(value.run, set()).add(value.phase)
    known: dict[tuple[Run, frozenset[Law]], Mapping[str, Times]] = {}
    found = []
    for name, laws in sets_of_laws():
        asked = {run: concern(run, names, laws) for run, names in phases.items()}
        for some in {laws for run, laws in asked.items() if (run, laws) not in known}:
            new = [run for run, own in asked.items() if own == some and (run, own) not in known]
            tell(f"{name}: {len(new)} settings with {', '.join(sorted(some)) or 'no law'}")
            predicted = predict(
                new, costs, machine=the_machine(sorted(some)), workers=workers, scheduler=scheduler
            )
            known |= {(run, some): times for run, times in predicted.items()}
        predicted = {run: dict(known[run, own]) for run, own in asked.items()}
        found.append(Variant(name, laws, score(values, predicted)))
    return found


class Example(NamedTuple):
    """The published value that a law changes most."""

    law: Law
    value: PublishedValue
    without: float  # seconds that are predicted without a law
    alone: float  # with this law alone


def examples(found: Sequence[Variant]) -> list[Example]:
    """Return for each law the value that it alone changes most, of those with few vCPUs."""
    by_name = {variant.name: variant.score.rows for variant in found}
    chosen = []
    for law in LAWS:
        pairs = [
            Example(law, one.published, one.predicted, two.predicted)
            for one, two in zip(by_name["none"], by_name[f"{law} alone"], strict=True)
            if one.published.run is not None and one.published.run.vcpus <= MOST_VCPUS
        ]
        chosen.append(max(pairs, key=lambda e: abs(math.log(e.alone / e.without))))
    return chosen
