"""The processors and caches of a host, and the laws of load that it follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from mmusim.base.quantities import Count, Size, Strict, shown
from mmusim.base.units import BYTES, show_bytes
from mmusim.costs import machine
from mmusim.costs.machine import LAWS, Law

Provenance = Literal["measured", "published", "derived", "assumed"]
MOST_SLOWDOWN = 64
"""Largest factor by which load may slow down the work of vCPUs."""


Positive = Annotated[float, Field(gt=0, le=1)]
TWO: Final = Field(min_length=2, max_length=2)


class Plausible(Strict):
    """Least and largest value of numbers of the machine that are assumed."""

    cores: Annotated[list[Count] | None, TWO, shown([48, 64], "cores")] = None
    """Without it, the cores are known."""
    smt_gain: Annotated[list[Positive] | None, TWO, shown([0.03, 0.3], "cores")] = None
    """Without it, a factor of 3 to either side."""


class Machine(Strict):
    """``[machine]``: without it, each vCPU has a processor and memory of its own."""

    nodes: Annotated[int, Field(ge=1, le=1024), shown(2, "nodes")] = 1
    """NUMA nodes. A VM with more vCPUs than a node has threads pays `t_line_remote`."""
    cores: Annotated[int, Field(ge=1, le=65536), shown(56, "cores")]
    """Cores of all nodes."""
    threads_per_core: Annotated[int, Field(ge=1, le=8), shown(2, "threads")] = 2
    """Hardware threads of a core."""
    smt_gain: Annotated[float, Field(ge=0, le=1), shown(0.1, "cores")] = 0.1
    """What each further thread of a core adds to its speed. 0 to 0.3 is plausible: exits and page
    walks leave a second thread little.
    """
    private_cache: Annotated[Size, shown("1MiB")] = BYTES["MiB"]
    """Cache of a core. A vCPU pays `t_line` if it touches more pages in a phase than the cache
    holds lines.
    """
    laws: Annotated[list[Law], shown(["memory", "threads"])] = Field(
        default_factory=lambda: list(LAWS)
    )
    """Laws that the machine follows. An empty list is a host without `machine`."""
    plausible: Annotated[Plausible, shown({"cores": [48, 64]})] = Field(default_factory=Plausible)
    """Ranges of what is assumed. Hosts that `costs` draws have values from them."""
    provenance: Annotated[Provenance, shown("published")] = "assumed"
    """How the processors are known."""
    note: Annotated[str, shown("lscpu of the host")] = ""
    """Source or reasoning."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.laws)) < len(self.laws):
            raise ValueError("laws names a law twice; name each once")
        return self

    @model_validator(mode="after")
    def _holds_the_values(self) -> Self:
        for name, bounds in self.plausible:
            if bounds and not (bounds[0] <= getattr(self, name) <= bounds[1] > bounds[0]):
                raise ValueError(
                    f"plausible.{name} must ascend and hold {name}; correct its bounds"
                )
        return self

    @model_validator(mode="after")
    def _each_node_has_a_core(self) -> Self:
        least = (self.plausible.cores or [self.cores])[0]
        if self.nodes > least:
            raise ValueError(
                f"there are {self.nodes} nodes and as few as {least} cores; count nodes that have "
                "cores, and give each at least one"
            )
        return self

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Return the bounds of the assumed numbers that the laws of the machine use."""
        found: dict[str, tuple[float, float]] = {}
        if self.plausible.cores and not {"memory", "threads", "remote"}.isdisjoint(self.laws):
            low, high = self.plausible.cores
            found["cores"] = low, high
        if self.smt_gain > 0 and self.threads_per_core > 1 and "threads" in self.laws:
            around = [self.smt_gain / 3, min(1.0, self.smt_gain * 3)]
            least, most = self.plausible.smt_gain or around
            found["smt_gain"] = least, most
        return found

    def with_factors(self, by: Mapping[str, float]) -> Machine:
        """Return a machine whose numbers are multiplied by factors, within their bounds; cores
        stay whole.
        """
        bounds, numbers = self.ranges(), {}
        for name, factor in by.items():
            low, high = bounds[name]
            numbers[name] = min(high, max(low, getattr(self, name) * factor))
        if "cores" in numbers:
            numbers["cores"] = max(1, round(numbers["cores"]))
        return self.model_copy(update=numbers)

    @property
    def threads(self) -> int:
        """Hardware threads of all cores."""
        return self.cores * self.threads_per_core

    def row(self) -> dict[str, Any]:
        """Return a row of a table that describes the machine."""
        return self.model_dump(mode="json") | {
            "private_cache": show_bytes(self.private_cache), "laws": ", ".join(self.laws),
            "plausible": ", ".join(f"{n} {a:g}-{b:g}" for n, (a, b) in self.ranges().items()),
        }  # fmt: skip

    def facts(self) -> dict[str, Any]:
        """Return what decides a run's result."""
        return self.model_dump(mode="json", exclude={"plausible", "provenance", "note"})

    def law_of(self, vcpus: int) -> str | None:
        """Return the rule that so many vCPUs break on this machine; None if there is none."""
        worst = self.with_factors(
            {n: low / getattr(self, n) for n, (low, _) in self.ranges().items()}
        )
        if worst.model().slowdown(vcpus) <= MOST_SLOWDOWN * machine.ONE:
            return None
        cores = "1 core" if worst.cores == 1 else f"{worst.cores} cores"
        return f"share {cores}, which makes them more than {MOST_SLOWDOWN} times slower"

    def model(self) -> machine.Machine:
        """Return the machine as runs see it."""
        return machine.Machine(
            nodes=self.nodes, cores=self.cores, threads=self.threads, smt_gain=self.smt_gain,
            private_cache=self.private_cache, laws=frozenset(self.laws),
        )  # fmt: skip

    def pays(self, cost: str) -> bool:
        """Tell whether a cost of :data:`~mmusim.vocabulary.machine_costs.MACHINE_COSTS` is paid."""
        return any(cost in machine.COSTS_OF.get(law, ()) for law in self.laws)
