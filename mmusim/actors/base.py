"""An actor: a thread of the host beside the guest and the log operations, and its view of the
VM.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any, ClassVar, Final, Protocol, TypeAlias

from mmusim.base.entry_points import failures, load_group
from mmusim.base.errors import ConfigError, nearest
from mmusim.base.packages import register, summary_of
from mmusim.base.quantities import Strict

GROUP: Final = "mmusim.actors"
"""The group of entry points through which other packages add actors."""

Steps: TypeAlias = Generator[Any, Any, None]
"""A process or a part of one, for ``yield from``."""


class HostView(Protocol):
    """The simulated host as an actor sees it. Between two ``yield`` nothing else happens."""

    @property
    def now(self) -> int:
        """Simulated time in nanoseconds."""

    @property
    def pages(self) -> int:
        """How many 4 KiB pages the guest's memory has; gfns go from 0 to one less."""

    @property
    def host_page(self) -> int:
        """How many 4 KiB pages a page of the host has that holds guest memory: 1, 512, 262,144."""

    @property
    def vcpus(self) -> int:
        """How many vCPUs the guest has."""

    def sleep(self, ns: float) -> Steps:
        """Sleep for at least 1 ns.

        Raises
        ------
        ConfigError
            If that is no time.
        """

    def spend(self, costs: Mapping[str, float]) -> Steps:
        """Spend the time of operations: cost of the host -> number, which may be a fraction.

        Raises
        ------
        ConfigError
            If there is no such cost, or if it cannot be paid that often.
        """

    def hold_mmu_lock(self) -> Steps:
        """Take mmu_lock for write; waiters are served in their order."""

    def release_mmu_lock(self) -> None:
        """Give mmu_lock back."""

    def write_protect(self, first_gfn: int, pages: int) -> Generator[Any, Any, bool]:
        """Clear W of every leaf in a range and spend the time; tell whether a flush is owed.

        The range begins and ends at a multiple of 2 MiB, and the actor holds mmu_lock
        (kvm_mmu_slot_gfn_write_protect). A later write to one of the leaves faults.

        Raises
        ------
        ConfigError
            If the range is none, or if the actor does not hold mmu_lock.
        """

    def age(self, first_gfn: int, pages: int, *, flush: bool) -> Generator[Any, Any, bool]:
        """Clear A of the leaves over a page of the host; tell whether there were any.

        kvm_age_gfn: up to Linux 6.14 under mmu_lock, which it takes and gives back. With `flush`
        TLBs are flushed before the lock is given back, up to Linux 6.12.

        Raises
        ------
        ConfigError
            If the range is none, or if the actor holds mmu_lock.
        """

    def flush(self) -> Steps:
        """Flush the TLBs of all vCPUs and wait for those in the guest (kvm_flush_remote_tlbs)."""

    def times(self, name: str, mean_ns: float, cv: float) -> Iterator[int]:
        """Return random times without end, in nanoseconds, with a mean and its relative spread.

        They have a gamma distribution. With `cv` 0 all are equal, with `cv` 1 they are the
        intervals of a Poisson process. They depend on the seed and on `name`, not on the policy.

        Raises
        ------
        ConfigError
            If mean or spread is none.
        """


class Actor(Strict):
    """A thread of the host.

    Subclass with ``name="kebab-case"``. Fields with annotations are its parameters, as keys of the
    table ``[[host.actors]]`` of an experiment file; types such as `Time` and `Share` read text with
    units. The docstring below a field says what it means.
    """

    kind: ClassVar[str] = ""
    """The name by which experiment files select the actor."""
    _registry: ClassVar[dict[str, type[Actor]]] = {}

    def __init_subclass__(cls, *, name: str = "", **kwargs: Any) -> None:
        """Take the name; the class is registered once its fields are known."""
        super().__init_subclass__(**kwargs)
        cls.kind = name

    @classmethod
    def __pydantic_init_subclass__(cls, *, name: str = "", **kwargs: Any) -> None:
        """Register the class under `name`.

        Raises
        ------
        TypeError
            If another class has the name, or if a parameter is called `name`.
        """
        super().__pydantic_init_subclass__(**kwargs)
        if not name:
            return
        if "name" in cls.model_fields:
            raise TypeError(f"actor {name!r} has a parameter called name, which names the actor")
        register("actor", Actor._registry, name, cls)

    def process(self, host: HostView) -> Steps:
        """Do the work of the thread, from the start of the run. The run does not wait for its end.

        Every actor must have this generator. It yields events: ``yield from host.sleep(1e6)``.

        Raises
        ------
        NotImplementedError
            If the actor has no process.
        """
        raise NotImplementedError(f"actor {self.kind!r} does not say what it does")

    @classmethod
    def summary(cls) -> str:
        """Return the first paragraph of the class docstring."""
        return summary_of(cls)


def load_outside() -> None:
    """Load the actors of other packages."""
    load_group(GROUP, Actor, Actor._registry)


def actors() -> dict[str, type[Actor]]:
    """Return every registered actor by name."""
    return dict(sorted(Actor._registry.items()))


def actor_named(name: str) -> type[Actor]:
    """Return the actor with this name.

    Raises
    ------
    ConfigError
        If there is none; the message names the nearest one, or the packages that were left out.
    """
    if name in Actor._registry:
        return Actor._registry[name]
    remedy = nearest(name, Actor._registry)
    remedy += f"; packages add others through the entry point group {GROUP}"
    left_out = failures(GROUP)
    if left_out:
        remedy += f". Left out: {'. '.join(left_out)}"
    raise ConfigError.of("host.actors", "name", name, "is not an actor", remedy)
