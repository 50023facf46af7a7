"""An experiment file: a question, a machine, a driver, replications and claims."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from mmusim.base.errors import MisfitError, nearest
from mmusim.base.quantities import Strict
from mmusim.base.units import show_bytes
from mmusim.config.claims import Claim, MetricName
from mmusim.config.driver import MANUAL, Driver, Run
from mmusim.config.machine import Host, Policies, Replications, Vm
from mmusim.config.migrate import Migrate
from mmusim.config.perf_test import PerfTest
from mmusim.config.reported import Reported
from mmusim.config.sweep import Sweep
from mmusim.config.workloads import Workload
from mmusim.mmu.dirty_ring import reserve
from mmusim.policies import Chosen, Mmu, Policy, Reporting, Tracking, choose
from mmusim.workload.sequential import Sequential


def kind(driver: Any) -> str:
    """Return the kind of a driver, which may be left out; messages name it by this function."""
    return str(driver.get("kind", "script") if isinstance(driver, dict) else driver.kind)


AnyDriver = Annotated[
    Annotated[Driver, Tag("script")] | Annotated[PerfTest, Tag("dirty-log-perf-test")],
    Discriminator(kind),
]


class Reduced(Strict):
    """A smoke test of the experiment, small enough for every change: few seeds, few settings."""

    seeds: Annotated[int, Field(ge=2)] = 5
    where: dict[str, list[Any]] = Field(default_factory=dict)
    """Settings that are kept: label (`variant` or a swept key) -> values; empty: all."""

    def keeps(self, labels: dict[str, Any]) -> bool:
        """Tell whether the setting with these labels is run at reduced size."""
        return all(labels.get(key) in values for key, values in self.where.items())


class Experiment(Strict):
    """One question and everything needed to answer it."""

    schema_: Annotated[int, Field(alias="schema", ge=1, le=1)]
    """Version of this file format."""
    id: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    question: str
    source: str = ""
    notes: str = ""
    """Printed in the report below the answer."""
    answer_by: MetricName = "phase_time"
    """The metric that answers the question, in the report's first sentence and figure."""
    vm: Vm = Field(default_factory=Vm)
    host: Host
    policies: Policies
    driver: AnyDriver
    workloads: dict[str, Workload] = Field(default_factory=dict)
    """By the name that `run` phases use."""
    replications: Replications = Field(default_factory=Replications)
    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Named settings: each a table of dotted keys and the values they take."""
    swept: Annotated[Sweep, Field(alias="sweep")] = Field(default_factory=Sweep)
    """Dotted keys and lists of values; every combination is run. Also `zip` and `sample`."""
    claims: list[Claim] = Field(default_factory=list)
    reduced: Reduced = Field(default_factory=Reduced)
    """What `mmusim check --reduced` runs of it."""
    reported: Reported | None = None
    """What a real migration reported; `mmusim run` prints it beside what is simulated."""

    @model_validator(mode="after")
    def _names_resolve(self) -> Self:
        phases = self.driver.phases if isinstance(self.driver, Driver) else []
        for number, phase in enumerate(phases, 1):
            if isinstance(phase, Run) or (isinstance(phase, Migrate) and phase.workload):
                key = f"driver.phases[{number}].workload"
                _resolve(key, "workload", phase.workload, self.workloads)
        labels = {"variant": list(self.variants), **self.sweep}
        for number, claim in enumerate(self.claims, 1):
            key = f"claims[{number}]"
            for policy in claim.sides:
                _resolve(key, "policy of this experiment", policy, self.policies.all)
            _resolve_labels(f"{key}.where", claim.where, labels)
        _resolve_labels("reduced.where", self.reduced.where, labels)
        return self

    @model_validator(mode="after")
    def _migrations_come_to_an_end(self) -> Self:
        if not isinstance(self.driver, Driver):
            return self
        migration, phases = self.driver.migration, self.driver.phases
        days = migration.first_pass_s(self.vm.memory) / 86_400
        if days > 1 and not migration.is_limited and any(isinstance(p, Migrate) for p in phases):
            limited = 0 < migration.max_bandwidth < migration.bandwidth
            key, rate = (
                ("max-bandwidth", migration.max_bandwidth)
                if limited
                else ("bandwidth", migration.bandwidth)
            )
            raise MisfitError(
                f"driver.migration.{key}", f"{show_bytes(rate)}/s",
                f"takes {days:,.0f} days to send {show_bytes(self.vm.memory)} once",
                "raise it, or set driver.migration.max_time",
            )  # fmt: skip
        return self

    @model_validator(mode="after")
    def _choices_exist_together(self) -> Self:
        for name in self.policies.all:
            policy, _, choices = self.chosen(name)
            if not policy.tracks:
                for number, phase in enumerate(self.script(policy).phases, 1):
                    if isinstance(phase, Migrate):
                        raise MisfitError(
                            f"driver.phases[{number}].do", phase.do,
                            f"needs to know what is dirty, and policy {name!r} logs nothing",
                            "leave that policy out, or use run in the place of migrate",
                        )  # fmt: skip
                continue
            for key, rule, remedy in self.script(policy).misfits(choices.reporting):
                raise MisfitError(key, None, f"{rule}, of policy {name!r}", remedy)
            least = reserve(choices.tracking is Tracking.PML)
            size = self.driver.dirty_ring_size
            if choices.reporting is Reporting.DIRTY_RING and size < least:
                raise MisfitError(
                    "driver.dirty-ring-size", size,
                    f"is less than the reserve of {least} entries that PML needs",
                    "write 1024 or more",
                )  # fmt: skip
        return self

    @property
    def sweep(self) -> dict[str, list[Any]]:
        """The swept keys that take values from lists, and the lists."""
        return self.swept.axes

    @property
    def order(self) -> str:
        """``sequential`` if the measured phase touches memory so, else ``random``.

        A measured profile has hits for both.
        """
        driver = self.driver
        if isinstance(driver, PerfTest):
            return "random" if driver.random_access else "sequential"
        phase = driver.phases[driver.measured]
        if isinstance(phase, (Run, Migrate)):
            workload = self.workloads.get(phase.workload)
            return "sequential" if isinstance(workload, Sequential) else "random"
        return "sequential" if getattr(phase, "order", "") == "sequential" else "random"

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
        try:
            return choose(
                policy,
                kernel=vm.kernel,
                mmu=None if vm.mmu is None else Mmu.of(vm.mmu),
                reporting=None if manual is None else MANUAL[manual],
            )
        except MisfitError as misfit:
            if misfit.key == "driver.manual_protect":
                misfit.value = manual  # as the file has it
            raise


def _resolve_labels(
    key: str, where: dict[str, list[Any]], labels: dict[str, list[Any]]
) -> None:  # fmt: skip
    for label, values in where.items():
        _resolve(key, "label of this experiment", label, labels)
        for value in values:
            _resolve(key, f"value of {label}", value, labels[label])


def _resolve(key: str, what: str, name: Any, names: Iterable[Any]) -> None:
    if name not in names:
        known = map(str, names)
        raise MisfitError(key, name, f"is not a {what}", nearest(str(name), known))
