"""Times of VM exits that KVM's tracepoints tell: each one by ftrace, a mean by perf kvm stat.

Both are the time from ``kvm_exit`` to the next ``kvm_entry`` of the same vCPU. So they contain the
handler of the exit, waits for locks, and everything else on the way back into the guest. They do
not contain the processor's own switch to the host and back, which happens outside the tracepoints.
"""

from __future__ import annotations

import re
from typing import Final

from mmusim.base.inputs import unreadable
from mmusim.base.kernel_trace import FAULT_EXITS, LOST, Event, KernelTrace, parse_kernel_trace
from mmusim.base.recordings import KERNEL_TRACE, KVM_STAT_OF_PERF, recording_of
from mmusim.base.units import NS, show_ns
from mmusim.calibration.foreign_series import Series, Summary, samples, summarised

OF_EXITS: Final = (KERNEL_TRACE, KVM_STAT_OF_PERF)
"""Kinds of files that :func:`exits_of` reads."""
FAULTS: Final = ("c_fault_slow", "c_fault_fast")
"""Costs for which the exits of faults are samples."""

_INCLUDED: Final = (
    "from kvm_exit to kvm_entry: handler, waits for locks and the way back, without the "
    "processor's own switches"
)
_ALIKE: Final = "; fast and slow faults alike"
_BEYOND: Final = frozenset(["kvm_mmio", "kvm_userspace_exit", "kvm_emulate_insn"])
"""Events of exits that KVM's fault handler does not answer by itself."""

_TIME: Final = r"([0-9]+\.([0-9]+))(ns|us|ms|s)"
_ROW: Final = re.compile(
    r"^\s*(?P<reason>[A-Za-z]\S*(?: \S+)*)\s+(?P<count>[0-9]+)\s+[0-9.]+%\s+[0-9.]+%\s+"
    rf"{_TIME}\s+{_TIME}\s+{_TIME}\s+\(\s*\+-\s*(?P<error>[0-9.]+)%\s*\)\s*$"
)


def exits_of(text: str, source: str) -> list[Series]:
    """Return the times of a file's exits, a series for each reason.

    Raises
    ------
    ConfigError
        If it has no exit that can be read.
    """
    if recording_of(text) is KVM_STAT_OF_PERF:
        return _of_perf(text, source)
    return _of_trace(parse_kernel_trace(text, source), source)


def _of_trace(trace: KernelTrace, source: str) -> list[Series]:
    """Pair exits with entries by thread.

    Where the tracer lost events, no exit before is paired with an entry after: others may have
    been between them. Exits that user space or the emulator answered are a series of their own;
    so are those that fast_page_fault fixed, where its events are recorded.
    """
    open_: dict[int, Event] = {}
    answers: dict[int, str] = {}
    times: dict[str, list[float]] = {}
    unpaired = 0
    for event in trace.events:
        if event.name == LOST:
            unpaired += len(open_)
            open_.clear()
        elif event.name == "kvm_exit":
            unpaired += event.thread in open_
            open_[event.thread] = event
            answers.pop(event.thread, None)
        elif event.name == "kvm_entry":
            begun = open_.pop(event.thread, None)
            reason = begun.word("reason") if begun is not None else ""
            if begun is None or not reason or event.ns < begun.ns:
                unpaired += 1
                continue
            times.setdefault(reason + answers.pop(event.thread, ""), []).append(event.ns - begun.ns)
        elif event.name in _BEYOND:
            answers[event.thread] = "+emulated"
        elif event.name == "fast_page_fault" and event.number("fixed") == 1:
            answers.setdefault(event.thread, "+fast")
    if not times:
        raise unreadable(
            source, "has no kvm_exit with a reason and a kvm_entry of the same thread behind it",
            "record kvm:kvm_exit and kvm:kvm_entry together",
        )  # fmt: skip
    notes = [_INCLUDED, f"time stamps of {show_ns(trace.resolution_ns)}", *trace.notes()]
    if unpaired:
        notes.append(f"{unpaired:,} exits or entries without a partner left out")
    tells_fast = any(event.name == "fast_page_fault" for event in trace.events)
    said, found = "; ".join(notes), []
    for reason, those in times.items():
        costs = _costs(reason, tells_fast)
        note = said + (_ALIKE if costs == FAULTS else "")
        found.append(Series(reason, "ns", samples(those, note), costs=costs))
    return found


def _costs(reason: str, tells_fast: bool) -> tuple[str, ...]:
    """Return the costs that exits for this reason are samples of."""
    name, _, answer = reason.partition("+")
    if name not in FAULT_EXITS or answer == "emulated":
        return ()
    if not tells_fast:
        return FAULTS
    return FAULTS[1:] if answer == "fast" else FAULTS[:1]


def _of_perf(text: str, source: str) -> list[Series]:
    """Read the rows of tables. The percentage behind the mean is its standard error.

    Source: print_result of tools/perf/builtin-kvm.c; stddev_stats of tools/perf/util/stat.c divides
    by the root of the count. Rows that are cut are left out.
    """
    found = []
    for line in text.split("\n"):
        row = _ROW.match(line[:1_000])
        if row is None:
            continue
        (low, _), (high, _), (mean, half) = (
            (float(number) * NS[unit], 0.5 * 10.0 ** -len(digits) * NS[unit])
            for number, digits, unit in re.findall(_TIME, line)
        )
        error = mean * float(row["error"]) / 100
        summary = Summary(mean, error, half, low, high, int(row["count"]))
        costs = _costs(row["reason"], tells_fast=False)
        note = f"{_INCLUDED}; minimum {show_ns(low)}, maximum {show_ns(high)}"
        note += _ALIKE if costs else ""
        found.append(Series(row["reason"], "ns", summarised(summary, note), costs=costs))
    if not found:
        raise unreadable(
            source, "looks like perf kvm stat and has no whole row",
            "give the output of perf kvm stat report, with minimum, maximum, mean and (+- ...%), "
            "in English (LC_ALL=C)",
        )  # fmt: skip
    return found
