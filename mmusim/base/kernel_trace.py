"""Events of KVM in the text of the kernel's tracers: ftrace, trace-cmd report, perf script.

A line has task, thread, processor, time in seconds, event and its fields. KVM has one thread for
each vCPU, so the thread tells vCPUs apart, also those of several machines. Layouts:
``print_trace_line`` in kernel/trace/trace.c; the events: arch/x86/kvm/trace.h and mmu/mmutrace.h.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mmusim.base.inputs import unreadable

LOST: Final = "lost events"
"""Name of the event that stands where the tracer lost some."""
FAULT_EXITS: Final = ("EPT_VIOLATION", "npf")
"""Reasons of exits by which Intel's and AMD's processors report a missing translation."""

_LONGEST: Final = 2_000
"""Characters of a line. Tracers write no longer lines."""
_LINE: Final = re.compile(
    r"^\s*\S.*?[-\s](?P<thread>\d+)(?:/\d+)?\s+(?:\(\s*[-\d]+\)\s+)?\[\d+\]\s+"
    r"(?:[\w.#!]{4,6}\s+)?(?P<time>[\d.]+):\s+(?:\w+:)?(?P<event>\w+):\s*(?P<fields>.*)$"
)
_OURS: Final = re.compile(r"kvm\w*|fast_page_fault")
_LOSS: Final = re.compile(
    r"\[LOST (\d+) EVENTS\]|\[(\d+) EVENTS DROPPED\]|^\s*#+ CPU \d+ buffer started #+"
)
_OVERWRITTEN: Final = re.compile(r"^# entries-in-buffer/entries-written: (\d+)/(\d+)")
_TIME: Final = re.compile(r"(\d{1,10})\.(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Event:
    """One event of one thread; `name` is LOST where the tracer lost events of anyone."""

    name: str
    thread: int
    ns: int
    fields: str

    def number(self, field: str, base: int = 10) -> int | None:
        """Return a whole number among the fields; a prefix 0x means base 16. None: not there."""
        found = re.search(rf"\b{field}[ :=]+(0x)?([0-9a-fA-F]+)\b", self.fields)
        if found is None or (base == 10 and not found[1] and not found[2].isdecimal()):
            return None
        return int(found[2], 16 if found[1] else base)

    def word(self, field: str) -> str:
        """Return a word among the fields; empty if it is not there."""
        found = re.search(rf"\b{field} ([\w-]+)", self.fields)
        return found[1] if found else ""


@dataclass(frozen=True, slots=True)
class KernelTrace:
    """KVM's events in the order of the file."""

    events: tuple[Event, ...]
    resolution_ns: int  # of the time stamps
    lost: int  # events that the tracer says it lost
    is_cut: bool  # the last line is not whole

    def notes(self) -> list[str]:
        """Return remarks about the recording for users, a clause each."""
        said = [f"{self.lost:,} events were lost"] if self.lost else []
        return said + (["the last line is cut"] if self.is_cut else [])


def parse_kernel_trace(text: str, source: str) -> KernelTrace:
    """Read KVM's events from a text; `source` names it in messages.

    Lines of other events and of no event are passed over. A last line without its end is left out,
    because an address that is cut is another address; of an entry nothing but the time is needed.

    Raises
    ------
    ConfigError
        If there is no event of KVM, or its time is not in seconds.
    """
    events: list[Event] = []
    finest = lost = 0
    *lines, last = text.split("\n")
    at_end = _LINE.match(last) if len(last) <= _LONGEST else None
    is_whole = not last.strip() or (at_end is not None and at_end["event"] == "kvm_entry")
    for line in [*lines, last] if is_whole else lines:
        if loss := _LOSS.search(line[:_LONGEST]):
            lost += int(loss[1] or loss[2] or 0)
            events.append(Event(LOST, 0, 0, ""))
        elif over := _OVERWRITTEN.match(line[:_LONGEST]):
            lost += max(int(over[2]) - int(over[1]), 0)
        found = _LINE.match(line) if len(line) <= _LONGEST else None
        if found is None or not _OURS.fullmatch(found["event"]):
            continue
        time = _TIME.fullmatch(found["time"])
        if time is None:
            raise unreadable(
                source, f"has the time {found['time'][:40]!r}, which is not in seconds",
                "record with the clock local, global or mono (trace_clock)",
            )  # fmt: skip
        finest = max(finest, len(time[2]))
        ns = int(time[1]) * 10**9 + int(time[2].ljust(9, "0"))
        events.append(Event(found["event"], int(found["thread"]), ns, found["fields"]))
    if not finest:
        raise unreadable(
            source, "has no event of KVM that can be read",
            "record kvm:kvm_exit, kvm:kvm_page_fault and kvm:kvm_entry; each line needs task, "
            "thread, [processor] and time",
        )  # fmt: skip
    return KernelTrace(tuple(events), 10 ** (9 - finest), lost, not is_whole)
