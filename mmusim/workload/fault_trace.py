"""From the page faults of a real guest to a page trace.

A table has a line for each fault: the page (``gfn``, or an address ``gpa``), the time, and perhaps
``vcpu`` and ``write``. Or the events ``kvm_page_fault`` of the kernel's tracers. Times between two
faults become work of the guest, so a replay takes them as think time. Accesses that did not fault
are unknown, and are not in the trace.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from mmusim.base.errors import ConfigError
from mmusim.base.inputs import unreadable
from mmusim.base.kernel_trace import FAULT_EXITS, LOST, KernelTrace, parse_kernel_trace
from mmusim.base.parsing import parse_csv
from mmusim.base.recordings import KERNEL_TRACE, recording_of
from mmusim.base.units import NS
from mmusim.workload.trace_file import PageTrace

TICK_NS: Final = 0.5
"""Guest time of an instruction, as :class:`~mmusim.workload.replay.Replay` takes it by default."""
LONGEST_NS: Final = (1 << 32) * TICK_NS
"""A pause between two faults is a number of 32 bits in a trace file."""
SHIFT: Final = 12
MOST_GPA: Final = 1 << 52
"""A larger address is no guest physical one."""
ALL: Final = "all"
HEAD: Final = 1 << 16
"""Bytes by which a file of faults shows itself."""

_WRITE: Final = 2  # bit 1: of an error code, and of the qualification of an EPT violation
_PHYSICAL: Final = 0x180 | 3 << 32  # bits that only two-dimensional paging sets
_GFN: Final = ("gfn", "page", "pfn", "frame")
_GPA: Final = ("gpa", "address", "addr")
_TIME: Final = re.compile(r"(?:time|timestamp|ts|t|at|when)(?:[_ .(\[-]*(ns|us|µs|ms|s)[)\]]?)?")
_YES: Final = {"1": True, "w": True, "true": True, "0": False, "r": False, "false": False}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one vCPU."""

    vcpu: str
    gfn: int
    ns: float
    write: bool


def is_faults(path: Path) -> bool:
    """Tell whether a file may hold faults: it has a header with a page, or events of KVM.

    It reads the beginning only, because the output of lackey has gigabytes.
    """
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            text = file.read(HEAD).decode("utf-8-sig", errors="replace")
    except (OSError, ValueError):
        return False
    head = re.split(r"[,;\t]", text.lstrip("\n").partition("\n")[0].strip().lower())
    named = any(name.strip() in _GFN + _GPA for name in head)
    return named or recording_of(text) is KERNEL_TRACE


def parse_faults(
    text: str, source: str, facts: Mapping[str, Any], vcpu: str = "", unit: str = ""
) -> tuple[PageTrace, tuple[str, ...]]:
    """Read faults into a trace, and say what was assumed or left out, a clause each.

    Parameters
    ----------
    text : str
        A table with a header, or the text of ftrace, trace-cmd report or perf script.
    source : str
        Names the text in messages.
    facts : mapping
        What to note in the trace.
    vcpu : str
        Whose faults to take where there are several: one of the names, or ``all``, in one order.
    unit : str
        Of the times of a table whose header does not say it.

    Raises
    ------
    ConfigError
        If a column or the unit is missing, a value is no number, there are several vCPUs and none
        is chosen, or addresses are not physical.
    """
    if recording_of(text) is KERNEL_TRACE:
        if unit:
            raise ConfigError.of(source, "unit", unit, "makes no difference: a kernel trace is in "
                                 "seconds", "leave it out")  # fmt: skip
        found, notes = _of_kernel(parse_kernel_trace(text, source), source)
    else:
        found, notes = _of_table(text, source, unit)
    faults = sorted(_of_one(found, source, vcpu), key=lambda fault: fault.ns)
    at = np.array([fault.ns for fault in faults])
    longest = float(np.max(np.diff(at), initial=0.0))
    if longest >= LONGEST_NS:
        raise unreadable(
            source, f"has a pause of {longest / 1e9:.3g} s; a trace keeps up to "
            f"{LONGEST_NS / 1e9:.3g} s between two faults", "give a part without such a pause",
        )  # fmt: skip
    ticks = np.round((at - at[0]) / TICK_NS).astype(np.int64)
    pages = np.unique([fault.gfn for fault in faults], return_inverse=True)[1].ravel()
    trace = PageTrace(
        page=pages.astype(np.int64),
        write=np.array([fault.write for fault in faults], np.bool_),
        at=ticks,
        instructions=max(int(ticks[-1]), 1),
        facts={**facts, "faults": "; ".join(notes)},
    )
    return trace, notes


def _of_one(found: Sequence[Fault], source: str, vcpu: str) -> list[Fault]:
    names = sorted({fault.vcpu for fault in found}, key=lambda name: (len(name), name))
    if not vcpu and len(names) > 1:
        raise ConfigError.of(
            source, "vcpu", None, f"is needed: the faults are those of {len(names)} vCPUs",
            f"choose one of {', '.join(names[:12])}, or {ALL} for one program that made all",
        )  # fmt: skip
    if vcpu and vcpu != ALL and vcpu not in names:
        raise ConfigError.of(
            source, "vcpu", vcpu, "has no fault", f"it has those of {', '.join(names[:12])}"
        )
    return [fault for fault in found if vcpu in ("", ALL, fault.vcpu)]


def _of_kernel(trace: KernelTrace, source: str) -> tuple[list[Fault], tuple[str, ...]]:
    """Take the events kvm_page_fault. The time of handling a fault is no work of the guest."""
    rows: list[Fault] = []
    handled: dict[int, int] = {}  # ns spent on faults so far, by thread
    begun: dict[int, int] = {}  # when a fault's exit was, by thread
    physical = False
    for event in trace.events:
        if event.name == LOST:
            begun.clear()
        elif event.name == "kvm_exit":
            begun.pop(event.thread, None)
            if event.word("reason") in FAULT_EXITS:
                physical = True
                begun[event.thread] = event.ns
        elif event.name == "kvm_entry" and event.thread in begun:
            spent = max(event.ns - begun.pop(event.thread), 0)
            handled[event.thread] = handled.get(event.thread, 0) + spent
        elif event.name == "kvm_page_fault":
            address, code = event.number("address", 16), event.number("error_code", 16)
            if address is None or code is None:
                continue
            physical = physical or bool(code & _PHYSICAL)
            at = begun.get(event.thread, event.ns) - handled.get(event.thread, 0)
            rows.append(Fault(str(event.thread), address >> SHIFT, at, bool(code & _WRITE)))
    if not rows:
        raise unreadable(
            source, "has no kvm_page_fault with address and error code",
            "record kvm:kvm_page_fault, and kvm:kvm_exit and kvm:kvm_entry with it",
        )  # fmt: skip
    if not physical or any(fault.gfn >= MOST_GPA >> SHIFT for fault in rows):
        raise unreadable(
            source, "has faults whose addresses are not known to be guest physical: shadow paging "
            "reports virtual ones", "record on a host with EPT or NPT, with kvm:kvm_exit",
        )  # fmt: skip
    said = ["each vCPU is named by its thread", *trace.notes()]
    if handled:
        said.append("the time from a fault's exit to the entry is left out")
    return rows, tuple(said)


def _of_table(text: str, source: str, unit: str) -> tuple[list[Fault], tuple[str, ...]]:
    head_line = text.lstrip("\n").partition("\n")[0]
    rows = parse_csv(text, source, max(",;\t", key=head_line.count))
    head = [name.strip().lower() for name in rows[0]] if rows else []
    page = next((i for i, name in enumerate(head) if name in _GFN + _GPA), None)
    times = [i for i, name in enumerate(head) if _TIME.fullmatch(name)]
    if page is None or len(times) != 1:
        raise unreadable(
            source, "has no header with one column for the page and one for the time",
            "name the columns, e.g. gfn,time_us,vcpu,write (gpa for an address)",
        )  # fmt: skip
    timed = _TIME.fullmatch(head[times[0]])
    said_unit = (timed[1] if timed else "") or ""
    if unit and unit not in NS:
        rule = f"is not one of {', '.join(NS)}"
        raise ConfigError.of(source, "unit", unit, rule, "write e.g. us")
    if not (said_unit or unit) or (said_unit and unit and NS[said_unit] != NS[unit]):
        rule = "contradicts the header" if said_unit else "of the time is not said"
        raise ConfigError.of(
            source, "unit", unit or None, rule, "name the column time_ns, time_us, time_ms or "
            "time_s, or give the unit",
        )  # fmt: skip
    scale, shift = float(NS[said_unit or unit]), SHIFT if head[page] in _GPA else 0
    vcpu, write = (head.index(name) if name in head else None for name in ("vcpu", "write"))
    faults = []
    for number, row in enumerate(rows[1:], 2):
        cells = [row[i].strip().lower() if i < len(row) else "" for i in range(len(head))]
        try:
            gfn = int(cells[page], 16 if cells[page].startswith("0x") else 10) >> shift
            ns = float(cells[times[0]]) * scale
            wrote = True if write is None else _YES[cells[write]]
        except (ValueError, KeyError, OverflowError):
            gfn, ns, wrote = -1, -1.0, True
        if not (0 <= gfn < MOST_GPA >> SHIFT and 0 <= ns < 1e19):
            raise unreadable(
                source, f"has no page, time or write that can be read in row {number}",
                "correct the table; pages are whole numbers, decimal or with 0x, writes 0 or 1",
            )  # fmt: skip
        faults.append(Fault("" if vcpu is None else cells[vcpu], gfn, ns, wrote))
    if not faults:
        raise unreadable(source, "has no fault", "give a line for each fault")
    notes = ["assumed: every fault is a write; there is no column write"] if write is None else []
    return faults, tuple(notes)
