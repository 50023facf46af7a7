"""The phase `migrate`: QEMU moves the guest to another host while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, Union, cast

from pydantic import AfterValidator, Field, model_validator

from mmusim.base.errors import MisfitError
from mmusim.base.quantities import Count, Rate, Share, Size, Strict, Time, shown
from mmusim.base.units import PAGE, parse_bytes, parse_ns, parse_rate
from mmusim.config.phase import BusyPhase, can_be_served
from mmusim.vmm import Qemu
from mmusim.vmm.postcopy import Plain, Postcopy, Preempt, postcopies
from mmusim.vmm.switch_over import QemuEstimate, switch_overs
from mmusim.vmm.throttle import (
    AutoConverge,
    DirtyLimit,
    Responsive,
    Throttle,
    ThrottleShare,
    throttles,
)

WINDOW = "100 ms"  # BUFFER_DELAY
LEAST_RATE = 10 * (4096 + 8)  # bytes per second: a page and its header in each window


class Migrate(BusyPhase):
    """Pre-copy migration, from the request until the destination runs or the migration ends
    otherwise.

    vCPUs run the workload lap after lap until they stop for the switch-over. If the migration is
    given up, each vCPU finishes its lap.
    """

    do: Annotated[Literal["migrate"], shown("migrate")]
    """The kind of phase."""
    lead: Annotated[Time, Field(le=1e12), shown("2s")] = 0.0
    """Time for which the vCPUs run the workload before the migration is requested."""
    tail: Annotated[Time, Field(le=1e12), shown("2s")] = 0.0
    """Time for which the vCPUs run on after the migration has ended: at the destination, where
    nothing is mapped at first, or here if it was given up. Without it a guest that was migrated
    is not followed.
    """

    @model_validator(mode="after")
    def _has_a_guest(self) -> Self:
        if (self.lead or self.tail) and not self.workload:
            raise ValueError(
                "lead and tail are times of a guest that runs; name a workload, or drop them"
            )
        return self


def _carries_pages(rate: int) -> int:
    if 0 < rate < LEAST_RATE:
        raise ValueError(
            f"carries less than a page in {WINDOW}, which QEMU measures by; "
            f'write at least "{LEAST_RATE}B/s"'
        )
    return rate


Rule: Any = Annotated[Union[tuple(switch_overs().values())], Field(discriminator="rule")]  # noqa: UP007 - not known before
"""A rule of when to stop the guest, by its name and parameters."""
Slowing: Any = Annotated[Union[tuple(throttles().values())], Field(discriminator="rule")]  # noqa: UP007 - not known before
"""A rule of how the guest is slowed down, by its name and parameters."""
Way: Any = Annotated[Union[tuple(postcopies().values())], Field(discriminator="rule")]  # noqa: UP007 - not known before
"""A way of answering requests in post-copy, by its name and parameters."""


class Migration(Strict):
    """The parameters and capabilities of QEMU, with its names and defaults.

    Keys with hyphens are QEMU's own. Keys with underscores belong to this model.

    Sources: qapi/migration.json; ``domain`` section F.
    """

    bandwidth: Annotated[Rate, Field(gt=0), AfterValidator(_carries_pages), shown("3GB/s")] = (
        parse_rate("1180MB/s")
    )
    """Mean rate of the network. 1180 MB/s is 10 GbE."""
    bandwidth_cv: Annotated[Share, Field(le=0.3), shown("10%")] = 0.05
    """Coefficient of variation of the rate from one window of 100 ms to the next. The rate is an
    AR(1) process.
    """
    max_bandwidth: Annotated[Rate, AfterValidator(_carries_pages), shown("1GB/s")] = Field(
        parse_rate("128MiB/s"), alias="max-bandwidth"
    )
    """Limit of what is sent in a window of 100 ms before the switch-over. 0B/s means no limit. A
    release of QEMU before 5.2 that `vmm` names has 32 MiB/s by default.
    """
    avail_switchover_bandwidth: Annotated[Rate, shown("1GB/s")] = Field(
        0, alias="avail-switchover-bandwidth"
    )
    """Rate that the switch-over is planned with. 0B/s means the rate of the last window."""
    downtime_limit: Annotated[Time, shown("100ms")] = Field(
        parse_ns("300ms"), alias="downtime-limit"
    )
    """Downtime that the migration aims at."""
    multifd_channels: Annotated[Count, Field(le=255), shown(4, "threads")] = Field(
        1, alias="multifd-channels"
    )
    """Threads that copy and check pages. 1 means a migration without multifd."""
    zero_pages: Annotated[Share, shown("30%")] = 0.0
    """Share of the pages that are zero when they are first sent. A zero page is sent as a header.
    """
    zero_pages_touched: Annotated[Share, shown("50%")] = 0.0
    """Share of the zero pages that the guest touched before. Reading any other one takes a page
    fault of the host.
    """
    clear_bitmap_shift: Annotated[int, Field(ge=6, le=31), shown(14, "power of two, in pages")] = (
        Field(18, alias="clear-bitmap-shift")
    )
    """Each `KVM_CLEAR_DIRTY_LOG` covers 2^`clear-bitmap-shift` pages of 4 KiB, under manual
    protect. 18 is 1 GiB.
    """

    auto_converge: Annotated[bool, shown(True)] = Field(False, alias="auto-converge")
    """vCPUs sleep for a share of their time if the guest writes too much."""
    cpu_throttle_initial: Annotated[ThrottleShare, shown("30%")] = Field(
        0.2, alias="cpu-throttle-initial"
    )
    """First share of time that auto-converge takes."""
    cpu_throttle_increment: Annotated[ThrottleShare, shown("5%")] = Field(
        0.1, alias="cpu-throttle-increment"
    )
    """Share that each later step adds."""
    max_cpu_throttle: Annotated[ThrottleShare, shown("80%")] = Field(0.99, alias="max-cpu-throttle")
    """Largest share that auto-converge takes."""
    cpu_throttle_tailslow: Annotated[bool, shown(True)] = Field(
        False, alias="cpu-throttle-tailslow"
    )
    """Near the end auto-converge takes no more than is needed. QEMU has it since 5.1."""
    responsive_throttle: Annotated[bool, shown(True)] = False
    """With auto-converge: the throttle `responsive`, posted for QEMU in 2024 and never merged."""
    vcpu_dirty_limit: Annotated[Rate, shown("1MB/s")] = Field(0, alias="vcpu-dirty-limit")
    """A vCPU that dirties more than this sleeps whenever its ring is full. It needs dirty rings.
    0B/s means no limit.
    """
    throttle_trigger_threshold: Annotated[Share, Field(gt=0), shown("70%")] = Field(
        0.5, alias="throttle-trigger-threshold"
    )
    """A throttle starts, or goes on, when for the second time more than this share of what was sent
    is dirty.
    """

    throttle: Annotated[
        Annotated[Slowing, Field()] | None, shown({"rule": "cloud-hypervisor", "step": "20%"})
    ] = None
    """How the guest is slowed down, by `rule`: `auto-converge`, `background-sync`,
    `background-watcher`, `responsive`, `dirty-limit`, `cloud-hypervisor`, `fixed-sleep` or a
    package's. QEMU's own keys for two of them are `auto-converge` and `vcpu-dirty-limit`. Without
    one of the three, nobody is.
    """

    postcopy_after: Annotated[int, Field(ge=0), shown(2, "rounds")] = 0
    """Number of rounds after which the migration switches to post-copy. 0 means never."""
    postcopy_preempt: Annotated[bool, shown(True)] = Field(False, alias="postcopy-preempt")
    """Pages that the destination asks for have a channel of their own. QEMU has it since 7.1."""
    postcopy: Annotated[Annotated[Way, Field()] | None, shown({"rule": "preempt"})] = None
    """How the source answers requests in post-copy, by `rule`: `plain`, `preempt`, or one of an
    installed package. `postcopy-preempt` is QEMU's own key for the second. Without one of the two
    it is `plain`.
    """
    socket_buffer: Annotated[Size, shown("4MiB")] = parse_bytes("2MiB")
    """Data on the main channel ahead of a page that the destination asked for, which does not count
    with `preempt`. The device state waits for it too when post-copy starts.
    """
    switchover_ack: Annotated[Time, shown("200ms")] = Field(0.0, alias="switchover-ack")
    """Time in which the destination loads the first device data. Before its end it allows no
    switch-over. QEMU has it since 8.1.
    """
    switch_over: Annotated[
        Rule, shown({"rule": "stall-detection", "window": "40s", "then": "post-copy"})
    ] = QemuEstimate()
    """When the guest is stopped, by `rule`: `qemu-estimate`, `fixed-limit`, `downtime-ramp`,
    `after-rounds`, `stall-detection`, or one of an installed package.
    """
    cancel_after: Annotated[Annotated[Time, Field(gt=0)] | None, shown("30s")] = None
    """Time after which the migration is cancelled. Without it, it is not cancelled."""
    max_rounds: Annotated[Count, Field(le=100_000), shown(100, "rounds")] = 50
    """Number of rounds after which the migration counts as not converging. QEMU itself has no such
    limit.
    """
    max_time: Annotated[Annotated[Time, Field(gt=0)] | None, shown("60s")] = None
    """Time after which the migration counts as not converging. Without it, only `max_rounds` ends
    it.
    """
    io_interval: Annotated[Time, AfterValidator(can_be_served), shown("10ms")] = 0.0
    """Mean time from one port I/O exit of a vCPU to the next, exponential; 1us or more. Such an
    exit needs the big lock of QEMU. 0ns means none.
    """

    @property
    def throttle_rule(self) -> Throttle | None:
        """How the guest is slowed down: by `throttle`, or as QEMU's own keys say."""
        if self.throttle is not None:
            return cast("Throttle", self.throttle)
        if self.auto_converge:
            kind: Any = Responsive if self.responsive_throttle else AutoConverge
            rule: Throttle = kind.model_construct(
                rule=kind.name,
                initial=self.cpu_throttle_initial,
                increment=self.cpu_throttle_increment,
                most=self.max_cpu_throttle,
                tailslow=self.cpu_throttle_tailslow,
                threshold=self.throttle_trigger_threshold,
            )
            return rule
        if self.vcpu_dirty_limit:
            return DirtyLimit.model_construct(
                rule="dirty-limit",
                limit=self.vcpu_dirty_limit,
                threshold=self.throttle_trigger_threshold,
            )
        return None

    @property
    def postcopy_way(self) -> Postcopy:
        """How requests are answered: by `postcopy`, or as QEMU's own key says."""
        if self.postcopy is not None:
            return cast("Postcopy", self.postcopy)
        return Preempt() if self.postcopy_preempt else Plain()

    @property
    def key_that_needs_rings(self) -> str:
        """The key that asks for a throttle by dirty rings; or nothing."""
        rule = self.throttle_rule
        if rule is None or not rule.needs_rings:
            return ""
        return "vcpu-dirty-limit" if self.vcpu_dirty_limit else "throttle"

    @property
    def clear_chunk(self) -> int:
        """Bytes of guest memory per KVM_CLEAR_DIRTY_LOG."""
        return PAGE << self.clear_bitmap_shift

    def first_pass_s(self, memory: int) -> float:
        """Return the seconds that it takes to send all memory once, `memory` in bytes."""
        return memory / min(self.bandwidth, self.max_bandwidth or self.bandwidth)

    def beyond(self, qemu: Qemu) -> Iterator[tuple[str, str]]:
        """Yield keys that a release of QEMU does not support, each with the rule."""
        asked = (
            ("throttle-trigger-threshold", self.throttle_trigger_threshold != 0.5,
             qemu.has_threshold(), "5.0"),
            ("cpu-throttle-tailslow", self.cpu_throttle_tailslow, qemu.has_tailslow(), "5.1"),
            ("vcpu-dirty-limit", self.vcpu_dirty_limit, qemu.has_dirty_limit(), "8.1"),
            ("postcopy_after", self.postcopy_after, qemu.has_postcopy(), "2.5"),
            ("postcopy-preempt", self.postcopy_preempt, qemu.has_preempt(), "7.1"),
            ("switchover-ack", self.switchover_ack, qemu.has_switchover_ack(), "8.1"),
            ("avail-switchover-bandwidth", self.avail_switchover_bandwidth,
             qemu.has_switchover_bandwidth(), "8.2"),
        )  # fmt: skip
        for key, value, has, since in asked:
            if value and not has:
                yield key, f"came in QEMU {since}"
        for key, rule in (("throttle", self.throttle), ("postcopy", self.postcopy)):
            if rule is not None and (why := rule.ask("beyond", qemu)):
                yield key, why

    @property
    def is_limited(self) -> bool:
        """Whether it is given up after some time."""
        return self.max_time is not None or self.cancel_after is not None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.auto_converge and self.vcpu_dirty_limit:
            raise MisfitError(
                "driver.migration.vcpu-dirty-limit", None, "conflicts with auto-converge",
                "choose one of the two",
            )  # fmt: skip
        own = "vcpu-dirty-limit" if self.vcpu_dirty_limit else "auto-converge"
        if self.throttle is not None and (self.auto_converge or self.vcpu_dirty_limit):
            raise MisfitError(
                "driver.migration.throttle", None, f"conflicts with {own}", f"drop {own}"
            )
        if self.postcopy is not None and self.postcopy_preempt:
            raise MisfitError(
                "driver.migration.postcopy", None, "conflicts with postcopy-preempt",
                "drop postcopy-preempt",
            )  # fmt: skip
        if self.responsive_throttle and not self.auto_converge:
            raise MisfitError(
                "driver.migration.responsive_throttle", None, "is used with auto-converge alone",
                "set auto-converge = true, or leave it out",
            )  # fmt: skip
        if self.max_cpu_throttle < self.cpu_throttle_initial:
            raise MisfitError(
                "driver.migration.max-cpu-throttle", f"{self.max_cpu_throttle:.0%}",
                f"is less than cpu-throttle-initial = {self.cpu_throttle_initial:.0%}",
                "raise it, or lower cpu-throttle-initial",
            )  # fmt: skip
        return self
