"""The guest, its kernel and host, the compared policies, and the number of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from mmusim.base.errors import ConfigError, MisfitError
from mmusim.base.quantities import Share, Size, Strict, Time, known_name, shown
from mmusim.base.units import BYTES, PAGE, REGION, show_bytes
from mmusim.base.units import MOST_SEEDS as MOST_SEEDS
from mmusim.config.actors import MOST_ACTORS, ActorTable
from mmusim.config.claims import MetricName
from mmusim.config.cost import CostSpec
from mmusim.config.guest_memory import (
    SlotSpec,
    refused,
    why_no_memory,
    why_no_slots,
)
from mmusim.config.measured import Interference, load_of
from mmusim.config.tlb import UNLIMITED, TlbSpec
from mmusim.config.topology import Machine
from mmusim.costs.random_streams import Pairing
from mmusim.policies import DEFAULT_KERNEL, Kernel, kernel_named, policy_named
from mmusim.vocabulary import COSTS


def _named(find: Callable[[str], object]) -> AfterValidator:
    """Check a name with a function that raises ConfigError, and pass its message to pydantic."""

    def check(name: str) -> str:
        try:
            find(name)
        except ConfigError as error:
            (complaint,) = error.complaints
            raise ValueError(f"{complaint.rule}; {complaint.remedy}") from None
        return name

    return AfterValidator(check)


PolicyName = Annotated[str, _named(policy_named)]
KernelName = Annotated[str, _named(kernel_named)]
CostName = Annotated[
    str, AfterValidator(lambda name: known_name("cost of the model", name, COSTS))
]  # fmt: skip


MOST_LOAD: Final = 0.99
"""Largest share of a processor's time that interference may take."""


class Vm(Strict):
    """The guest and the kernel under it."""

    vcpus: Annotated[int, Field(ge=1, le=4096), shown(4, "vCPUs")] = 1
    """Number of vCPUs."""
    backing: Annotated[Literal["4KiB", "2MiB", "1GiB"], shown("4KiB")] = "2MiB"
    """Page size of the host memory behind the guest. It bounds the level of sptes."""
    memory: Annotated[Size, shown("4GiB")] = BYTES["GiB"]
    """Guest memory: whole pages with a backing of `4KiB`, else whole regions of 2 MiB. Each vCPU
    owns an equal part, in whole regions where there is one for each, else in pages.
    """
    slots: Annotated[SlotSpec, shown(["3GiB", "13GiB"])] = "one"
    """Memslots in the order of their addresses, by their sizes, or those of a board of QEMU:
    `i440fx` parts 3.5 GiB and more at 3 GiB, `q35` parts 2.75 GiB and more at 2 GiB. Log operations
    go from slot to slot, each with its own hold of `mmu_lock` and its own flush.
    """
    mmu: Annotated[Literal["legacy", "tdp", "shadow", "nested"] | None, shown("tdp")] = None
    """The MMU code that runs. Without it, the policy or the kernel decides."""
    kernel: Annotated[KernelName, shown("linux-6.1")] = DEFAULT_KERNEL
    """The kernel release under policies that are no releases themselves."""
    prefaulted: Annotated[bool, shown(False)] = True
    """The host has memory for each page before the guest touches it, so faults may prefetch."""
    preemption: Annotated[Literal["none", "voluntary", "full", "lazy"] | None, shown("full")] = None
    """The preemption model with which the kernel is booted. With `full` and `lazy`, a walk over a
    slot gives `mmu_lock` to waiters. Without it, `voluntary` before Linux 7.0 and `lazy` since.
    """
    preempt_dynamic: Annotated[bool, shown(True)] = False
    """The kernel is built with PREEMPT_DYNAMIC, as those of distributions are. Until Linux 6.10
    its walks give `mmu_lock` to waiters however it was booted.
    """
    cached_child_tables: Annotated[bool, shown(False)] = True
    """A table that a large spte replaced stays hashed, and the next fault links it again. The TDP
    MMU has no such tables.
    """
    executable: Annotated[Share, shown("5%")] = 0.0
    """Share of memory from which the guest executes code, in whole regions of 2 MiB that are spread
    evenly.
    """
    nx_huge_pages: Annotated[bool, shown(True)] = False
    """The iTLB multihit mitigation of Linux 5.4: executable regions are mapped at 4 KiB."""

    @field_validator("memory")
    @classmethod
    def _whole_units(cls, memory: int, info: ValidationInfo) -> int:
        return refused(memory, why_no_memory(memory, info.data.get("backing", "4KiB")))

    @field_validator("slots")
    @classmethod
    def _are_the_memory(cls, slots: str | list[int], info: ValidationInfo) -> str | list[int]:
        memory = info.data.get("memory")
        why = why_no_slots(slots, memory, info.data.get("backing", "4KiB")) if memory else ""
        return refused(slots, why)

    def misfits(self, kernel: Kernel, policy: str) -> Iterator[MisfitError]:
        """Yield complaints about what a policy's kernel does not have."""
        booted, models = self.preemption, kernel.preemptions()
        if booted is not None and booted not in models:
            yield MisfitError(
                "vm.preemption", booted, f"does not exist in {kernel.name}, of policy {policy!r}",
                f"write one of: {', '.join(models)}; or leave it out",
            )  # fmt: skip

    @property
    def level(self) -> int:
        """The level of the host's mappings: 1, 2 or 3."""
        return ("4KiB", "2MiB", "1GiB").index(self.backing) + 1

    @property
    def kept_small(self) -> tuple[int, ...]:
        """Regions that the NX mitigation keeps at 4 KiB."""
        if not self.nx_huge_pages:
            return ()
        share, count = self.executable, -(-self.memory // REGION)
        return tuple(i for i in range(count) if int((i + 1) * share) > int(i * share))

    @model_validator(mode="after")
    def _a_page_each(self) -> Self:
        if self.memory // PAGE < self.vcpus:
            raise MisfitError(
                "vm.vcpus", self.vcpus,
                f"leaves a vCPU without a page of the {show_bytes(self.memory)}",
                "lower it or raise vm.memory",
            )  # fmt: skip
        return self


DEFAULT_PROFILE: Final = "skylake-2021-fitted"
"""The host where an experiment names none: its costs reproduce published times."""


class Host(Strict):
    """The machine under the kernel."""

    profile: Annotated[str, shown("skylake-2021")] = DEFAULT_PROFILE
    """Host profile: a name that `mmusim hosts` lists, or a TOML file relative to the experiment
    file.
    """
    variance: Annotated[Literal["as-profiled", "none"], shown("none")] = "as-profiled"
    """`none` replaces each cost by its mean."""
    costs: Annotated[dict[CostName, CostSpec], shown({"c_exit": "500ns"})] = Field(
        default_factory=dict
    )
    """Costs that replace those of the profile."""
    machine: Annotated[Machine | None, shown({"cores": 56, "nodes": 2})] = None
    """Processors and memory under load; replaces that of the profile. Without it, the profile
    decides.
    """
    need_resched: Annotated[Time | None, shown("4ms")] = None
    """Mean time from one instant at which another task wants the processor of a walking thread to
    the next. Without it, no task wants it.
    """
    emulatorpin: Annotated[int | None, Field(ge=0), shown(0, "number of a vCPU")] = None
    """Number of the vCPU on whose processor the thread is pinned that protects, reads and clears
    the log (emulatorpin of libvirt). Without it, the thread has a processor of its own.
    """
    halt_poll: Annotated[Time, shown("0ns")] = 200_000.0
    """Time for which KVM polls before the processor of a vCPU that has halted does something else
    (`kvm.halt_poll_ns`). Work that arrives earlier costs no wake-up.
    """
    tlb: Annotated[TlbSpec, shown(1536, "entries")] = UNLIMITED
    """Translations of each size that the TLB of a vCPU keeps; the one that was used longest ago
    falls out. A right that was taken back stays usable until the flush only where the TLB still
    keeps it. `unlimited` keeps all until the flush: the TLB of an adversary.
    """
    interference: Annotated[list[Interference], shown([{"every": "4ms", "lasts": "20us"}])] = Field(
        default_factory=list
    )
    """What else the host does on the processors of the vCPUs. The profile may add more."""
    actors: Annotated[
        list[ActorTable], Field(max_length=MOST_ACTORS), shown([{"name": "write-protector"}])
    ] = Field(default_factory=list)
    """Threads of the host that installed packages define. They run beside the guest and the log
    operations, from the start of a run to its end.
    """

    @field_validator("interference")
    @classmethod
    def _leaves_time(cls, interference: list[Interference]) -> list[Interference]:
        load = load_of(interference)
        if load > MOST_LOAD:
            raise ValueError(
                f"leaves the vCPU no time: it takes {min(load, 1e6):.4g} of each second; lower "
                "lasts or raise every"
            )
        return interference


class Policies(Strict):
    """What is compared with what."""

    baseline: Annotated[PolicyName, shown("linux-6.2")]
    """The policy that the others are compared with."""
    compare: Annotated[list[PolicyName], shown(["linux-6.2+split-on-fault"])] = Field(
        default_factory=list
    )
    """The other policies, each once. Without any, settings are compared with the first setting."""

    @field_validator("compare")
    @classmethod
    def _each_once(cls, names: list[str], info: ValidationInfo) -> list[str]:
        everyone = [info.data.get("baseline") or "", *names]
        if len({frozenset(name.split("+")) for name in everyone}) < len(everyone):
            raise ValueError("names a policy twice; name each once, and leave the baseline out")
        return names

    @property
    def all(self) -> list[str]:
        """Baseline first."""
        return [self.baseline, *self.compare]


MOST_SEED: Final = 1 << 53

MOST_HOSTS: Final = 1000
Seeds = Annotated[int, Field(ge=1, le=MOST_SEEDS)]
"""Runs of a policy in a setting."""


def enough_hosts(hosts: int) -> int:
    """Check on how many hosts verdicts are tried; 0 is none.

    Raises
    ------
    ValueError
        If a share of them says nothing.
    """
    if 0 < hosts < 8:
        raise ValueError("is too few for a probability; write 0, or 8 and more, e.g. 32")
    return hosts


class Replications(Strict):
    """How often each setting is run. Run i of every policy uses the same seed."""

    seeds: Annotated[Seeds, shown(100, "seeds")] = 30
    """Number of seeds of each setting and policy."""
    first_seed: Annotated[int, Field(ge=-MOST_SEED, le=MOST_SEED), shown(1, "a seed")] = 1
    """The first seed. Run i of each policy uses the seed `first_seed` + i."""
    pairing: Annotated[
        Literal["by-access", "by-occurrence", "independent"], shown("independent")
    ] = "by-access"
    """How policies share random numbers: `by-access`, the same access pays the same; `by-
    occurrence`, the n-th payment of a kind pays the same; `independent`, nothing is shared.
    """
    matters: Annotated[Share, Field(gt=0), shown("5%")] = 0.05
    """The smallest difference of interest, as a share of the baseline: the margin within which two
    policies are called equivalent.
    """
    costs: Annotated[
        int, Field(ge=0, le=MOST_HOSTS), AfterValidator(enough_hosts), shown(32, "hosts")
    ] = 0
    """Number of hosts on which mmusim tries the verdicts beside the profile's own. It draws the
    costs of these hosts from what is known about each cost. 32 are enough for a probability.
    """
    precision: Annotated[Share | None, shown("5%")] = None
    """mmusim adds seeds until half the interval of each ratio is at most this share of the ratio.
    Without it, `seeds` is final.
    """
    max_seeds: Annotated[Seeds | None, shown(100, "seeds")] = None
    """Largest number of seeds that `precision` may use. Without it, `seeds` is final."""
    precise: Annotated[MetricName, shown("p99_latency")] = "phase_time"
    """The metric whose ratios to the baseline must be that precise."""

    @model_validator(mode="after")
    def _sequential(self) -> Self:
        if (self.precision is None) != (self.max_seeds is None):
            raise ValueError(
                "needs both precision and max_seeds, or neither; write e.g. "
                'precision = "5%", max_seeds = 100'
            )
        if self.precision is None or self.max_seeds is None:
            return self
        if self.precision == 0:
            raise ValueError('precision must be above 0; write e.g. "5%"')
        if not 5 <= self.seeds <= self.max_seeds:
            raise ValueError(
                f"begins with {self.seeds} seeds and ends with {self.max_seeds}; begin with at "
                "least 5, fewer give no interval, and no more than max_seeds"
            )
        return self

    @property
    def scheme(self) -> Pairing:
        """The pairing as a value of its own type."""
        return Pairing(self.pairing)
