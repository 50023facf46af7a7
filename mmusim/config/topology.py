"""The processors and caches of a host, and the laws of load that it follows."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mmusim.base.quantities import Size, Strict, shown
from mmusim.base.units import BYTES, show_bytes
from mmusim.costs import machine
from mmusim.costs.machine import LAWS, Law

Provenance = Literal["measured", "published", "derived", "assumed"]
MOST_SLOWDOWN = 64
"""Largest factor by which load may slow down the work of vCPUs."""


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
    provenance: Annotated[Provenance, shown("published")] = "assumed"
    """How the processors are known."""
    note: Annotated[str, shown("lscpu of the host")] = ""
    """Source or reasoning."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.laws)) < len(self.laws):
            raise ValueError("laws names a law twice; name each once")
        return self

    @property
    def threads(self) -> int:
        """Hardware threads of all cores."""
        return self.cores * self.threads_per_core

    def row(self) -> dict[str, Any]:
        """Return a row of a table that describes the machine."""
        return self.model_dump(mode="json") | {
            "private_cache": show_bytes(self.private_cache), "laws": ", ".join(self.laws)
        }  # fmt: skip

    def facts(self) -> dict[str, Any]:
        """Return what decides a run's result."""
        return self.model_dump(mode="json", exclude={"provenance", "note"})

    def law_of(self, vcpus: int) -> str | None:
        """Return the rule that so many vCPUs break on this machine; None if there is none."""
        if self.model().slowdown(vcpus) <= MOST_SLOWDOWN * machine.ONE:
            return None
        return f"share {self.cores} cores, which makes them more than {MOST_SLOWDOWN} times slower"

    def model(self) -> machine.Machine:
        """Return the machine as runs see it."""
        return machine.Machine(
            nodes=self.nodes, cores=self.cores, threads=self.threads, smt_gain=self.smt_gain,
            private_cache=self.private_cache, laws=frozenset(self.laws),
        )  # fmt: skip

    def pays(self, cost: str) -> bool:
        """Tell whether a cost of :data:`~mmusim.vocabulary.machine_costs.MACHINE_COSTS` is paid."""
        return any(cost in machine.COSTS_OF.get(law, ()) for law in self.laws)
