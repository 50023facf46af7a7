"""The guest, the kernel and host under it, what is compared, and how often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from mmusim.base.errors import ConfigError
from mmusim.base.quantities import Count, Share, Size, Strict, Time, known_name
from mmusim.base.units import BYTES, REGION, show_bytes
from mmusim.config.claims import MetricName
from mmusim.config.cost import CostSpec
from mmusim.config.measured import Interference
from mmusim.costs.random_streams import Pairing
from mmusim.policies import DEFAULT_KERNEL, kernel_named, policy_named
from mmusim.vocabulary import COSTS


def _named(find: Callable[[str], object]) -> AfterValidator:
    """Check a name with a function that raises ConfigError; its words become pydantic's."""

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


class Vm(Strict):
    """The guest and the kernel under it."""

    vcpus: Annotated[int, Field(ge=1, le=4096)] = 1
    memory: Size = BYTES["GiB"]
    """All of it is one slot; vCPUs own equal parts, in whole 2 MiB regions."""
    backing: Literal["4KiB", "2MiB", "1GiB"] = "2MiB"
    """Page size of the host's backing, which bounds the level of sptes."""
    mmu: Literal["legacy", "tdp", "shadow", "nested"] | None = None
    """The MMU code that runs; by default the policy's or the kernel's own."""
    kernel: KernelName = DEFAULT_KERNEL
    """For policies that are no kernels themselves."""
    prefaulted: bool = True
    """The host has memory for all pages before the guest touches them, so faults may prefetch."""
    preemption: Literal["none", "voluntary", "full"] = "voluntary"
    """The kernel's preemption model: with `full`, walks over a slot give mmu_lock to waiters."""
    cached_child_tables: bool = True
    """A table that a large spte unlinked stays hashed and is linked again (all but the TDP MMU)."""
    executable: Share = 0.0
    """Part of memory, in whole 2 MiB regions evenly spread, that the guest executes code from."""
    nx_huge_pages: bool = False
    """The iTLB multihit mitigation (5.4): what is executed from is mapped at 4 KiB."""

    @field_validator("memory")
    @classmethod
    def _whole_regions(cls, memory: int, info: ValidationInfo) -> int:
        del info
        nearest_size = max(1, (memory + REGION // 2) // REGION) * REGION
        if memory % REGION or not memory:
            raise ValueError(
                "must be a whole number of 2 MiB regions, the largest backing; "
                f'the nearest is "{show_bytes(nearest_size)}"'
            )
        return memory

    @property
    def level(self) -> int:
        """The level of the host's mappings: 1, 2 or 3."""
        return ("4KiB", "2MiB", "1GiB").index(self.backing) + 1

    @property
    def kept_small(self) -> tuple[int, ...]:
        """Regions that the NX mitigation keeps at 4 KiB."""
        if not self.nx_huge_pages:
            return ()
        share, count = self.executable, self.memory // REGION
        return tuple(i for i in range(count) if int((i + 1) * share) > int(i * share))

    @model_validator(mode="after")
    def _a_region_each(self) -> Self:
        if self.memory // REGION % self.vcpus:
            raise ValueError(
                f"memory of {show_bytes(self.memory)} cannot be parted among {self.vcpus} vCPUs "
                "in whole 2 MiB regions; choose a memory that is a multiple of vcpus x 2MiB"
            )
        return self


class Host(Strict):
    """The machine under the kernel."""

    profile: str
    variance: Literal["as-profiled", "none"] = "as-profiled"
    """`none` puts every cost at its mean."""
    costs: dict[CostName, CostSpec] = Field(default_factory=dict)
    """Costs that replace those of the profile."""
    need_resched: Time | None = None
    """How often another task wants the processor of the thread that walks over a slot."""
    interference: list[Interference] = Field(default_factory=list)
    """What else the host does on the vCPUs' processors."""


class Policies(Strict):
    """What is compared with what."""

    baseline: PolicyName
    compare: Annotated[list[PolicyName], Field(min_length=1)]

    @field_validator("compare")
    @classmethod
    def _each_once(cls, names: list[str], info: ValidationInfo) -> list[str]:
        everyone = [info.data.get("baseline"), *names]
        if len(set(everyone)) < len(everyone):
            raise ValueError("names a policy twice; name each once, the baseline not at all")
        return names

    @property
    def all(self) -> list[str]:
        """Baseline first."""
        return [self.baseline, *self.compare]


class Replications(Strict):
    """How often each setting is run. Run i of every policy uses the same seed."""

    seeds: Count = 30
    first_seed: int = 1
    pairing: Literal["by-access", "by-occurrence", "independent"] = "by-access"
    matters: Annotated[Share, Field(gt=0)] = 0.05
    """The smallest difference of interest, as a share of the baseline: the margin within which two
    policies are called equivalent."""
    costs: Annotated[int, Field(ge=0, le=1000)] = 0
    """On how many hosts verdicts are tried beside the profile's own: vectors of costs, drawn from
    what is known about each cost. 32 are enough for a probability; 0: none."""
    precision: Share | None = None
    """Seeds are added until half the interval of every ratio is at most this share of it."""
    max_seeds: Count | None = None
    """But no more than these."""
    precise: MetricName = "phase_time"
    """The metric whose ratios, of each policy to the baseline, must be so precise."""

    @field_validator("costs")
    @classmethod
    def _enough_hosts(cls, costs: int) -> int:
        if 0 < costs < 8:
            raise ValueError("is too few for a probability; write 0, or 8 and more, e.g. 32")
        return costs

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
