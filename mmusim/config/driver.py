"""The script driver: phases that the host and the guest go through one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mmusim.base.errors import nearest
from mmusim.base.quantities import Share, Size, Strict, Time, shown
from mmusim.base.units import PAGE, parse_bytes
from mmusim.config import schedule, windows
from mmusim.config.checkpoint import Checkpoint
from mmusim.config.migrate import Migrate, Migration
from mmusim.config.page_table_write import WritePageTable
from mmusim.config.phase import BusyPhase, GuestPhase, Named
from mmusim.config.schedule import Scheduled
from mmusim.config.snapshot import Snapshot
from mmusim.config.windows import LAST, Window
from mmusim.mmu.dirty_ring import ENTRY_BYTES, MAX_ENTRIES, reserve
from mmusim.policies import Reporting
from mmusim.workload.page_pass import Order

NEED_LOGGING: Final = ("get-dirty-log", "clear-dirty-log", "sync-dirty-log")
"""A harvest does not: KVM_RESET_DIRTY_RINGS works whether a slot logs or not."""
MANUAL: Final = {
    "off": Reporting.GET_CLEARS,
    "on": Reporting.MANUAL_CLEAR,
    "initially-all-set": Reporting.ALL_SET,
}
ManualProtect = Literal["off", "on", "initially-all-set"] | None
REPORTS: Final = {
    "get-dirty-log": (Reporting.GET_CLEARS, Reporting.MANUAL_CLEAR, Reporting.ALL_SET),
    "clear-dirty-log": (Reporting.MANUAL_CLEAR, Reporting.ALL_SET),
    "harvest-ring": (Reporting.DIRTY_RING,),
}
"""Phases that only some ways of reporting have."""


class Pass(GuestPhase):
    """Every vCPU touches each of its pages once, or the first `pages` of them."""

    do: Annotated[Literal["read", "write"], shown("write")]
    """The kind of phase."""
    pages: Annotated[Share, shown("10%")] = 1.0
    """Share of the pages of each vCPU that the phase touches: the first ones in the order."""
    order: Annotated[Order, shown("random")] = "sequential"
    """Order of the pages: `sequential`; `permuted`, one fixed order, that of the recorded kernel
    counters; `random`, a new order per seed, vCPU and phase.
    """


class Touch(GuestPhase):
    """As read and write, but each access is a write with probability `writes`."""

    do: Annotated[Literal["touch"], shown("touch")]
    """The kind of phase."""
    pages: Annotated[Share, shown("10%")] = 1.0
    """Share of the pages of each vCPU that the phase touches: the first ones in the order."""
    writes: Annotated[Share, shown("5%")] = 1.0
    """Share of the accesses that are writes, drawn access by access."""
    order: Annotated[Order, shown("random")] = "sequential"
    """Order of the pages: `sequential`; `permuted`, one fixed order, that of the recorded kernel
    counters; `random`, a new order per seed, vCPU and phase.
    """
    overlap: Annotated[bool, shown(True)] = False
    """Each vCPU touches the memory of all vCPUs."""


class Run(GuestPhase):
    """Every vCPU runs the workload of that name."""

    do: Annotated[Literal["run"], shown("run")]
    """The kind of phase."""
    workload: Annotated[str, shown("my-service")]
    """Name of the workload that each vCPU runs."""
    shared: Annotated[Share, shown("25%")] = 0.0
    """Share of the memory that all vCPUs use together. Each has its part of the rest to itself."""


class Log(Scheduled):
    """A log operation on the slot, by the host thread."""

    do: Annotated[
        Literal["enable-logging", "disable-logging", "get-dirty-log", "harvest-ring", "wait"],
        shown("get-dirty-log"),
    ]
    """The log operation on the slot."""


class Recreate(Scheduled):
    """The slot is deleted and made again, with logging enabled unless told otherwise."""

    do: Annotated[Literal["recreate-slot"], shown("recreate-slot")]
    """The kind of phase."""
    logging: Annotated[bool, shown(False)] = True
    """The new slot logs."""


def _whole_words(chunk: int | None) -> int | None:
    if chunk is not None and (chunk == 0 or chunk % parse_bytes("256KiB")):
        raise ValueError('must be a multiple of 64 pages (256KiB); write e.g. "1GiB"')
    return chunk


Chunk = Annotated[Size | None, AfterValidator(_whole_words)]
"""Guest memory per KVM_CLEAR_DIRTY_LOG; all of it by default."""


class Clear(Scheduled):
    """KVM_CLEAR_DIRTY_LOG over the slot, with the bitmap of the last get, in chunks."""

    do: Annotated[Literal["clear-dirty-log"], shown("clear-dirty-log")]
    """The kind of phase."""
    chunk: Annotated[Chunk, shown("1GiB")] = None
    """Guest memory of one `KVM_CLEAR_DIRTY_LOG`, in multiples of 256 KiB. Without it, one clear
    covers the slot.
    """


class Sync(Scheduled):
    """Read the log and re-arm, in the policy's way of reporting: get, get and clear in chunks, or
    harvest of the rings.
    """

    do: Annotated[Literal["sync-dirty-log"], shown("sync-dirty-log")]
    """The kind of phase."""
    chunk: Annotated[Chunk, shown("1GiB")] = None
    """Guest memory of one `KVM_CLEAR_DIRTY_LOG`, in multiples of 256 KiB. Without it, one clear
    covers the slot.
    """


class Sleep(Named):
    """The host thread lets time pass."""

    do: Annotated[Literal["sleep"], shown("sleep")]
    """The kind of phase."""
    time: Annotated[Time, shown("10ms")]
    """How long the host thread sleeps."""


Phase = Annotated[
    Pass
    | Touch
    | Run
    | Migrate
    | Checkpoint
    | Snapshot
    | WritePageTable
    | Log
    | Recreate
    | Clear
    | Sync
    | Sleep,
    Field(discriminator="do"),
]


def _a_ring(entries: int) -> int:
    least = max(PAGE // ENTRY_BYTES, reserve(False))
    if entries & (entries - 1) or not least <= entries <= MAX_ENTRIES:
        raise ValueError(
            f"must be a power of two from {least} to {MAX_ENTRIES} entries of {ENTRY_BYTES} bytes; "
            "write e.g. 4096"
        )
    return entries


RingSize = Annotated[int, AfterValidator(_a_ring), Field(alias="dirty-ring-size")]


class Driver(Strict):
    """A script of phases that the host and the guest go through, one after the other."""

    kind: Annotated[Literal["script"], shown("script")] = "script"
    """The kind of driver."""
    manual_protect: Annotated[ManualProtect, shown("initially-all-set")] = None
    """KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2. Without it, the policy decides, and else it is off."""
    all_set_keeps_mmu_writable: Annotated[bool, shown(True)] = False
    """A what-if: the first clear of an all-set bitmap leaves `mmu_writable` to large sptes. Small
    sptes that a fault splits from them then take the fast path.
    """
    dirty_ring_size: Annotated[RingSize, shown(4096, "entries")] = 4096
    """Entries of the dirty ring of each vCPU, for policies with rings; a power of two. An entry
    takes 16 bytes.
    """
    migration: Annotated[Migration, shown({})] = Field(default_factory=Migration)
    """Parameters of the phases `migrate`; the channel of `checkpoint` and `snapshot` too."""
    windows: Annotated[
        list[Window],
        shown([{"name": "first pass", "from": "end of enable-logging", "lasts": "100ms"}]),
    ] = Field(default_factory=list)
    """Stretches of the run that are measured. A workload in the background goes on, lap after lap,
    until the windows that began beside it have ended.
    """
    measure: Annotated[str, shown("first pass")] = LAST
    """The window or guest phase whose time and latencies are compared: its name, or `last` for the
    last guest phase.
    """
    phases: Annotated[
        list[Phase],
        Field(min_length=1, max_length=4096),
        shown([{"do": "write"}, {"do": "enable-logging"}, {"do": "read"}]),
    ]
    """The phases, in their order."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        guest = [phase for phase in self.phases if isinstance(phase, GuestPhase)]
        names = [phase.name for phase in guest if phase.name]
        if not guest and (self.measure == LAST or self.windows):
            raise ValueError("no phase makes the guest work; add a read, write or run phase")
        names += [window.name for window in self.windows]
        windows_too = " and no window" if self.windows else ""
        if self.measure != LAST and self.measure not in names:
            raise ValueError(
                f"measure = {self.measure!r} names no guest phase{windows_too}; "
                + (nearest(self.measure, [*names, LAST]))
            )
        self._check_order()
        for wrong in (*schedule.contradictions(self.phases), *windows.contradictions(self)):
            raise ValueError(wrong)
        return self

    def _check_order(self) -> None:
        logging = got = running = False
        for number, phase in enumerate(self.phases, 1):
            where = f"phases[{number}] ({phase.do})"
            if phase.do == "recreate-slot" and running:
                raise ValueError(
                    f"{where} deletes the memory of a running guest; put wait before it"
                )
            if isinstance(phase, BusyPhase) and logging:
                why = "switches logging on by itself" if phase.needs_log else "needs no log"
                raise ValueError(f"{where} {why}; put disable-logging before it")
            if isinstance(phase, GuestPhase):
                running = phase.background
            elif phase.do == "wait":
                running = False
            if phase.do == "enable-logging":
                logging = True
            elif isinstance(phase, Recreate):
                logging = phase.logging
            elif phase.do == "disable-logging":
                logging = False
            elif phase.do in NEED_LOGGING and not logging:
                raise ValueError(f"{where} needs logging; put enable-logging before it")
            if phase.do == "clear-dirty-log" and self.manual_protect == "off":
                raise ValueError(f'{where} needs manual protect; set manual_protect = "on"')
            if phase.do == "clear-dirty-log" and not got:  # the kernel accepts an old bitmap too
                raise ValueError(f"{where} needs a bitmap; put get-dirty-log before it")
            got = got or phase.do in ("get-dirty-log", "sync-dirty-log")

    def misfits(self, reporting: Reporting) -> Iterator[tuple[str, str, str]]:
        """Yield key, rule and remedy of each phase that a way of reporting does not have."""
        needs = self.migration.key_that_needs_rings
        migrates = any(isinstance(phase, Migrate) for phase in self.phases)
        if migrates and needs and reporting is not Reporting.DIRTY_RING:
            yield (
                f"driver.migration.{needs}",
                f"goes with {Reporting.DIRTY_RING.value} and not with {reporting.value}",
                "use auto-converge, or compare policies with dirty rings only",
            )
        if reporting not in REPORTS["clear-dirty-log"]:
            yield from windows.without_clears(self, reporting.value)
        for number, phase in enumerate(self.phases, 1):
            fits = REPORTS.get(phase.do)
            if fits is not None and reporting not in fits:
                ways = ", ".join(way.value for way in fits)
                manual = phase.do == "clear-dirty-log" and reporting is Reporting.GET_CLEARS
                yield (
                    f"driver.phases[{number}].do",
                    f"{phase.do} goes with {ways} and not with {reporting.value}",
                    "use sync-dirty-log, which goes with every way of reporting"
                    + (', or set manual_protect = "on"' if manual else ""),
                )

    def script(self, reporting: Reporting) -> Driver:
        """Return the phases; they do not depend on the way of reporting."""
        del reporting
        return self

    def in_turns(self) -> Driver:
        """Return the script with each operation as often as it is done."""
        return self.model_copy(update={"phases": schedule.in_turns(self.phases)})

    @property
    def window(self) -> str:
        """The window that is compared; empty: it is a phase."""
        return self.measure if self.measure in [w.name for w in self.windows] else ""

    @property
    def measured(self) -> int:
        """Index of the measured phase; where a window is measured, of the last guest phase."""
        guest = [i for i, phase in enumerate(self.phases) if isinstance(phase, GuestPhase)]
        if self.measure == LAST or self.window:
            return guest[-1]
        return next(i for i in guest if self.phases[i].name == self.measure)
