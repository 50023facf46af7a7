"""An experiment file: a question, a machine, a driver, replications and claims."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from mmusim.base.errors import ConfigError, MisfitError, MisfitsError, nearest
from mmusim.base.quantities import Strict, shown
from mmusim.base.units import show_bytes
from mmusim.config.claims import Claim, MetricName
from mmusim.config.driver import MANUAL, Driver, Run
from mmusim.config.perf_test import PerfTest, unequal_slices
from mmusim.config.phase import BusyPhase
from mmusim.config.reported import Reported
from mmusim.config.snapshot import snapshot_misfits
from mmusim.config.sweep import Sweep
from mmusim.config.vm_and_host import Host, Policies, Replications, Vm
from mmusim.config.vmm import Vmm
from mmusim.config.workloads import Workload
from mmusim.mmu.dirty_ring import reserve
from mmusim.policies import (
    Chosen,
    Mmu,
    Policy,
    Reporting,
    Tracking,
    choose,
    kernel_named,
    policy_named,
)
from mmusim.vmm import NEWEST_QEMU, Qemu
from mmusim.workload.sequential import Sequential


def kind(driver: Any) -> str:
    """Return the kind of a driver, ``script`` by default. Messages name the driver by it."""
    if isinstance(driver, dict):
        return str(driver.get("kind", "script"))
    return str(getattr(driver, "kind", "script"))  # no table: the model complains


AnyDriver = Annotated[
    Annotated[Driver, Tag("script")] | Annotated[PerfTest, Tag("dirty-log-perf-test")],
    Discriminator(kind),
]


class Reduced(Strict):
    """A smoke test of the experiment, small enough for every change: few seeds, few settings."""

    seeds: Annotated[int, Field(ge=2), shown(5, "seeds")] = 5
    """Number of seeds of the reduced run."""
    where: Annotated[dict[str, list[Any]], shown({"vm.vcpus": [1, 4]})] = Field(
        default_factory=dict
    )
    """Settings that the reduced run keeps: label (`variant` or a swept key) and its values. An
    empty table keeps all.
    """

    def keeps(self, labels: dict[str, Any]) -> bool:
        """Tell whether the setting with these labels is run at reduced size."""
        return all(labels.get(key) in values for key, values in self.where.items())


class Experiment(Strict):
    """One question and everything that its answer needs."""

    schema_: Annotated[int, Field(alias="schema", ge=1, le=1), shown(1, "version")]
    """Version of the file format."""
    id: Annotated[
        str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=100), shown("my-guest")
    ]
    """Name of the experiment: lower-case words and digits with hyphens. The run directory is
    `results/ID`.
    """
    question: Annotated[str, shown("Does eager splitting help my guest?")]
    """The question that the runs answer. Reports print it."""
    source: Annotated[str, shown("linux-kernel, 14 November 2012")] = ""
    """The source of the question or of its numbers. Reports print it."""
    notes: Annotated[str, shown("The host of the measurement is unknown.")] = ""
    """Remarks that the report prints below the answer."""
    answer_by: Annotated[MetricName, shown("p99_request")] = "phase_time"
    """The metric that answers the question. The first sentence and figure of the report show it.
    """
    vm: Annotated[Vm, shown({"vcpus": 4, "memory": "4GiB"})] = Field(default_factory=Vm)
    """The guest and the kernel under it."""
    vmm: Annotated[Vmm | None, shown({"qemu": "8.2"})] = None
    """The user space of the VM. Where it is given, a policy that leaves the log mode open takes the
    one of QEMU. Without it, QEMU 11.0 drives migrations and the log mode is the policy's.
    """
    host: Annotated[Host, shown({"profile": "skylake-2021"})] = Field(default_factory=Host)
    """The machine under the kernel."""
    policies: Annotated[Policies, shown({"baseline": "eager-drop", "compare": ["lazy-drop"]})]
    """The policies that are compared."""
    driver: Annotated[
        AnyDriver, shown({"phases": [{"do": "write"}, {"do": "enable-logging"}, {"do": "read"}]})
    ]
    """What the host does to the guest: a script of phases, or the driver of `dirty_log_perf_test`.
    """
    workloads: Annotated[dict[str, Workload], shown({"my-service": {"pattern": "zipf"}})] = Field(
        default_factory=dict
    )
    """Workloads by the names that the phases `run` and `migrate` use."""
    replications: Annotated[Replications, shown({"seeds": 30})] = Field(
        default_factory=Replications
    )
    """How often each setting is run."""
    variants: Annotated[dict[str, dict[str, Any]], shown({"large": {"vm.memory": "64GiB"}})] = (
        Field(default_factory=dict)
    )
    """Named variants. Each is a table of dotted keys and their values."""
    swept: Annotated[Sweep, Field(alias="sweep"), shown({"vm.vcpus": [1, 4, 16]})] = Field(
        default_factory=Sweep
    )
    """Dotted keys with lists of values; mmusim runs every combination. The tables `zip` and
    `sample` give further settings.
    """
    claims: Annotated[
        list[Claim], shown([{"says": "Lazy is faster", "order": "lazy-drop < eager-drop"}])
    ] = Field(default_factory=list)
    """Sentences with numbers that the runs judge."""
    reduced: Annotated[Reduced, shown({"seeds": 2})] = Field(default_factory=Reduced)
    """The reduced run that `mmusim check --reduced` makes."""
    reported: Annotated[Reported | None, shown({"source": "query_migrate.json"})] = None
    """What a real migration reported. `mmusim import` writes this table. Without it, nothing is
    compared.
    """

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        parts = [self._names(), self._days(), self._beyond_qemu(), self._choices()]
        parts.append(snapshot_misfits(self.driver, self.qemu, self.vm.level))
        if isinstance(self.driver, PerfTest):
            parts.append(unequal_slices(self.vm.vcpus, self.vm.memory))
        MisfitsError.raise_any(itertools.chain.from_iterable(parts))
        return self

    def _names(self) -> Iterator[MisfitError]:
        """Yield names that nothing has."""
        phases = self.driver.phases if isinstance(self.driver, Driver) else []
        for number, phase in enumerate(phases, 1):
            if isinstance(phase, Run) or (isinstance(phase, BusyPhase) and phase.workload):
                key = f"driver.phases[{number}].workload"
                yield from _unknown(key, "workload", [phase.workload], self.workloads)
        labels = {"variant": list(self.variants), **self.sweep}
        for number, claim in enumerate(self.claims, 1):
            key = f"claims[{number}]"
            yield from _unknown(key, "policy of this experiment", claim.sides, self.policies.all)
            yield from _unknown_labels(f"{key}.where", claim.where, labels)
            windows = ["", *(w.name for w in self.driver.windows)]
            yield from _unknown(f"{key}.window", "window of the driver", [claim.window], windows)
        yield from _unknown_labels("reduced.where", self.reduced.where, labels)

    def _days(self) -> Iterator[MisfitError]:
        """Yield a complaint if a migration would take days."""
        if not isinstance(self.driver, Driver):
            return
        migration, phases = self.driver.migration, self.driver.phases
        days = migration.first_pass_s(self.vm.memory) / 86_400
        if days > 1 and not migration.is_limited and any(isinstance(p, BusyPhase) for p in phases):
            limited = 0 < migration.max_bandwidth < migration.bandwidth
            key = "max-bandwidth" if limited else "bandwidth"
            rate = migration.max_bandwidth if limited else migration.bandwidth
            yield MisfitError(
                f"driver.migration.{key}", f"{show_bytes(rate)}/s",
                f"takes {days:,.0f} days to send {show_bytes(self.vm.memory)} once",
                "raise it, or set driver.migration.max_time",
            )  # fmt: skip

    def _beyond_qemu(self) -> Iterator[MisfitError]:
        """Yield complaints about keys that the release of QEMU does not have."""
        if self._migrates and isinstance(self.driver, Driver):
            for key, rule in self.driver.migration.beyond(self.qemu):
                yield MisfitError(
                    f"driver.migration.{key}", None, f"{rule}, and vmm.qemu is {self.qemu.name}"
                    + ("" if self.vmm else " by default"),
                    f"leave {key} out, or name a release that has it",
                )  # fmt: skip

    def _choices(self) -> Iterator[MisfitError]:
        """Yield complaints about a policy that is illegal in this experiment."""
        for name in self.policies.all:
            try:
                (chosen := self.chosen(name)).tables()
                kernels = self.vm.misfits(chosen.kernel, name)
                yield from itertools.chain(kernels, self._reporting(name, chosen))
            except MisfitError as misfit:
                yield misfit
            except ConfigError as error:
                for one in error.complaints:
                    yield MisfitError(f"{one.source}.{one.key}", one.value, one.rule, one.remedy)

    def _reporting(self, name: str, chosen: Chosen) -> Iterator[MisfitError]:
        """Yield complaints about phases that do not go with a policy's way of reporting."""
        policy, _, choices = chosen
        if not policy.tracks:
            for number, phase in enumerate(self.script(policy).phases, 1):
                if isinstance(phase, BusyPhase) and phase.needs_log:
                    yield MisfitError(
                        f"driver.phases[{number}].do", phase.do,
                        f"needs to know what is dirty, and policy {name!r} logs nothing",
                        f"leave that policy out, or use run in the place of {phase.do}",
                    )  # fmt: skip
            return
        for key, rule, remedy in self.script(policy).misfits(choices.reporting):
            yield MisfitError(key, None, f"{rule}, of policy {name!r}", remedy)
        least = reserve(choices.tracking is Tracking.PML)
        size = self.driver.dirty_ring_size
        if choices.reporting is Reporting.DIRTY_RING and size < least:
            yield MisfitError(
                "driver.dirty-ring-size", size,
                f"is less than the reserve of {least} entries that PML needs",
                "write 1024 or more",
            )  # fmt: skip

    @property
    def sweep(self) -> dict[str, list[Any]]:
        """The swept keys that take values from lists, and the lists."""
        return self.swept.axes

    @property
    def order(self) -> str:
        """``sequential`` if the measured phase touches memory in order, else ``random``.

        A measured profile has hits for both.
        """
        driver = self.driver
        if isinstance(driver, PerfTest):
            return "random" if driver.random_access else "sequential"
        phase = driver.phases[driver.measured]
        if isinstance(phase, (Run, BusyPhase)):
            workload = self.workloads.get(phase.workload)
            return "sequential" if isinstance(workload, Sequential) else "random"
        return "sequential" if getattr(phase, "order", "") == "sequential" else "random"

    @property
    def qemu(self) -> Qemu:
        """The release of QEMU."""
        return self.vmm.release if self.vmm else NEWEST_QEMU

    @property
    def _migrates(self) -> bool:
        phases = self.driver.phases if isinstance(self.driver, Driver) else []
        return any(isinstance(phase, BusyPhase) for phase in phases)

    def script(self, policy: str | Policy) -> Driver:
        """Return what the host does to the guest under a policy, phase by phase.

        Raises
        ------
        MisfitError
            If the policy's choices are illegal together, or contradict those of the experiment.
        """
        return self.driver.script(self.chosen(policy).choices.reporting)

    def chosen(self, policy: str | Policy) -> Chosen:
        """Decide every axis for a policy in this experiment.

        Raises
        ------
        MisfitError
            If its choices are illegal together, or contradict those of the experiment.
        """
        vm, manual = self.vm, self.driver.manual_protect
        if manual is None and self.vmm is not None and self._migrates:
            named = policy_named(policy) if isinstance(policy, str) else policy
            manual = self.vmm.log_mode(named, named.kernel or kernel_named(vm.kernel))
        try:
            return choose(
                policy,
                kernel=vm.kernel if "kernel" in vm.model_fields_set else None,
                mmu=None if vm.mmu is None else Mmu.of(vm.mmu),
                reporting=None if manual is None else MANUAL[manual],
            )
        except MisfitError as misfit:
            if misfit.key == "driver.manual_protect":
                misfit.value = manual  # in the spelling of the file
            raise


def _unknown_labels(
    key: str, where: dict[str, list[Any]], labels: dict[str, list[Any]]
) -> Iterator[MisfitError]:
    for label, values in where.items():
        yield from _unknown(key, "label of this experiment", [label], labels)
        yield from _unknown(key, f"value of {label}", values, labels.get(label, values))


def _unknown(
    key: str, what: str, wanted: Iterable[Any], names: Iterable[Any]
) -> Iterator[MisfitError]:
    names = list(names)
    for name in wanted:
        if name not in names:
            remedy = nearest(str(name), filter(None, map(str, names)))
            yield MisfitError(key, name, f"is not a {what}", remedy)
