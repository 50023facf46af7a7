"""The script driver: phases that the host and the guest go through one after the other."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from mmusim.config.page_table_write import WritePageTable
from mmusim.config.phase import GuestPhase, Named
from mmusim.errors import nearest
from mmusim.quantities import Share, Size, Strict, Time
from mmusim.units import parse_bytes
from mmusim.workload.page_pass import Order


class Pass(GuestPhase):
    """Every vCPU touches each of its pages once, or the first `pages` of them."""

    do: Literal["read", "write"]
    pages: Share = 1.0
    order: Order = "sequential"


class Run(GuestPhase):
    """Every vCPU runs the workload of that name."""

    do: Literal["run"]
    workload: str


class Log(Named):
    """A log operation on the slot, by the host thread."""

    do: Literal[
        "enable-logging", "disable-logging", "get-dirty-log", "recreate-slot", "wait"
    ]  # fmt: skip


class Clear(Named):
    """KVM_CLEAR_DIRTY_LOG over the slot, with the bitmap of the last get, in chunks."""

    do: Literal["clear-dirty-log"]
    chunk: Size | None = None

    @field_validator("chunk")
    @classmethod
    def _whole_words(cls, chunk: int | None) -> int | None:
        if chunk is not None and (chunk == 0 or chunk % parse_bytes("256KiB")):
            raise ValueError('must be a multiple of 64 pages (256KiB); write e.g. "1GiB"')
        return chunk


class Sleep(Named):
    """The host thread lets time pass."""

    do: Literal["sleep"]
    time: Time


Phase = Annotated[Pass | Run | WritePageTable | Log | Clear | Sleep, Field(discriminator="do")]


class Driver(Strict):
    """What the host does to the guest: phases, one after the other."""

    kind: Literal["script"] = "script"
    manual_protect: Literal["off", "on", "initially-all-set"] = "off"
    """KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2."""
    measure: str = "last"
    """The guest phase whose time and latencies are compared: `last`, or a name."""
    phases: Annotated[list[Phase], Field(min_length=1)]

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        guest = [phase for phase in self.phases if isinstance(phase, GuestPhase)]
        names = [phase.name for phase in guest if phase.name]
        if self.measure == "last":
            if not guest:
                raise ValueError("phases let the guest do nothing; add a read, write or run phase")
        elif self.measure not in names:
            raise ValueError(
                f"measure = {self.measure!r} names no guest phase; "
                + (nearest(self.measure, [*names, "last"]))
            )
        self._check_order()
        return self

    def _check_order(self) -> None:
        logging = got = running = False
        for number, phase in enumerate(self.phases, 1):
            where = f"phases[{number}] ({phase.do})"
            if phase.do == "recreate-slot" and running:
                raise ValueError(
                    f"{where} deletes the memory of a running guest; put wait before it"
                )
            if isinstance(phase, GuestPhase):
                running = phase.background
            elif phase.do == "wait":
                running = False
            if phase.do in ("enable-logging", "recreate-slot"):
                logging = True
            elif phase.do == "disable-logging":
                logging = False
            elif phase.do in ("get-dirty-log", "clear-dirty-log") and not logging:
                raise ValueError(f"{where} needs logging; put enable-logging before it")
            if phase.do == "clear-dirty-log" and self.manual_protect == "off":
                raise ValueError(f'{where} needs manual protect; set manual_protect = "on"')
            if phase.do == "clear-dirty-log" and not got:  # an old bitmap is as good to the kernel
                raise ValueError(f"{where} needs a bitmap; put get-dirty-log before it")
            got = got or phase.do == "get-dirty-log"

    @property
    def measured(self) -> int:
        """Index of the measured phase."""
        guest = [i for i, phase in enumerate(self.phases) if isinstance(phase, GuestPhase)]
        if self.measure == "last":
            return guest[-1]
        return next(i for i in guest if self.phases[i].name == self.measure)
