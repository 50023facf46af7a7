"""The phase `migrate`: QEMU moves the guest to another host while it runs."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mmusim.base.errors import MisfitError
from mmusim.base.quantities import Count, Rate, Share, Strict, Time
from mmusim.base.units import PAGE, parse_ns, parse_rate
from mmusim.config.phase import GuestPhase

WINDOW = "100 ms"  # BUFFER_DELAY
LEAST_RATE = 10 * (4096 + 8)  # bytes per second: a page and its header in each window


class Migrate(GuestPhase):
    """Pre-copy migration, from the request until the destination runs or it is given up.

    vCPUs run the workload lap after lap, each with draws of its own, until they are stopped for
    the switch-over; if the migration is given up, each finishes its lap.
    """

    do: Literal["migrate"]
    workload: str = ""
    """What every vCPU runs meanwhile; without one the guest is idle."""

    @model_validator(mode="after")
    def _in_the_foreground(self) -> Self:
        if self.background:
            raise ValueError(
                "background goes with phases of the guest alone; drop it: the guest runs beside "
                "its migration anyway"
            )
        return self


def _carries_pages(rate: int) -> int:
    if 0 < rate < LEAST_RATE:
        raise ValueError(
            f"carries less than a page in {WINDOW}, which QEMU measures by; "
            f'write at least "{LEAST_RATE}B/s"'
        )
    return rate


Throttle = Annotated[Share, Field(gt=0, le=0.99)]


class Migration(Strict):
    """What a migration is told: parameters and capabilities of QEMU, with its names and defaults.

    Keys with hyphens are QEMU's own; those with underscores are of this model.

    Sources: qapi/migration.json; ``domain`` section F.
    """

    bandwidth: Annotated[Rate, Field(gt=0), AfterValidator(_carries_pages)] = parse_rate("1180MB/s")
    """What the network carries, in the mean: 10 GbE."""
    bandwidth_cv: Annotated[Share, Field(le=0.3)] = 0.05
    """Coefficient of variation of that from one window of 100 ms to the next, an AR(1) process."""
    max_bandwidth: Annotated[Rate, AfterValidator(_carries_pages)] = Field(
        parse_rate("128MiB/s"), alias="max-bandwidth"
    )
    """What is sent in a window of 100 ms before the switch-over; 0B/s: no limit."""
    avail_switchover_bandwidth: Rate = Field(0, alias="avail-switchover-bandwidth")
    """What the switch-over is planned with; 0B/s: what was measured in the last window."""
    downtime_limit: Time = Field(parse_ns("300ms"), alias="downtime-limit")
    multifd_channels: Annotated[Count, Field(le=255)] = Field(1, alias="multifd-channels")
    """Threads that copy and check pages; 1 is a migration without multifd."""
    zero_pages: Share = 0.0
    """Share of the pages that are zero when they are first sent, and sent as a header only."""
    clear_bitmap_shift: Annotated[int, Field(ge=6, le=31)] = Field(18, alias="clear-bitmap-shift")
    """Each KVM_CLEAR_DIRTY_LOG covers 2^clear-bitmap-shift pages of 4 KiB; with manual protect."""

    auto_converge: bool = Field(False, alias="auto-converge")
    """Let vCPUs sleep for a share of their time if the guest writes too much."""
    cpu_throttle_initial: Throttle = Field(0.2, alias="cpu-throttle-initial")
    cpu_throttle_increment: Throttle = Field(0.1, alias="cpu-throttle-increment")
    max_cpu_throttle: Throttle = Field(0.99, alias="max-cpu-throttle")
    vcpu_dirty_limit: Rate = Field(0, alias="vcpu-dirty-limit")
    """Let vCPUs that dirty more than this sleep whenever their ring is full; 0B/s: off. Needs dirty
    rings."""
    throttle_trigger_threshold: Annotated[Share, Field(gt=0)] = Field(
        0.5, alias="throttle-trigger-threshold"
    )
    """Either begins, or goes on, when twice more than this share of what was sent is dirty."""

    postcopy_after: Annotated[int, Field(ge=0)] = 0
    """Switch to post-copy after so many rounds; 0: never."""
    cancel_after: Annotated[Time, Field(gt=0)] | None = None
    max_rounds: Count = 50
    """QEMU goes on for ever; here a migration with more rounds does not converge."""
    max_time: Annotated[Time, Field(gt=0)] | None = None
    io_interval: Time = 0.0
    """Mean time from one exit of a vCPU for port I/O, which needs the big lock, to the next
    (exponential); 0: none."""

    @property
    def clear_chunk(self) -> int:
        """Bytes of guest memory per KVM_CLEAR_DIRTY_LOG."""
        return PAGE << self.clear_bitmap_shift

    def first_pass_s(self, memory: int) -> float:
        """Return the seconds that it takes to send all memory once, `memory` in bytes."""
        return memory / min(self.bandwidth, self.max_bandwidth or self.bandwidth)

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
        if self.max_cpu_throttle < self.cpu_throttle_initial:
            raise MisfitError(
                "driver.migration.max-cpu-throttle", f"{self.max_cpu_throttle:.0%}",
                f"is less than cpu-throttle-initial = {self.cpu_throttle_initial:.0%}",
                "raise it, or lower cpu-throttle-initial",
            )  # fmt: skip
        return self
