"""The tools that write files of measurements, and the verbs of mmusim that read them.

A reader that is given a file of another kind says with this table where the file belongs.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

HEAD: Final = 200
"""Lines, blank ones apart, in which a tool shows itself."""


class Recording(NamedTuple):
    """A kind of file: the pattern of a line that only it has, what it is, where it belongs."""

    pattern: re.Pattern[str]
    what: str
    remedy: str


def _kind(pattern: str, what: str, remedy: str) -> Recording:
    return Recording(re.compile(pattern), what, remedy)


MIGRATION: Final = _kind(
    r'"dirty-sync-count"|^Migration status:|^Data processed:|Precopy: iter=',
    "a migration's statistics, which are not a single cost",
    "make an experiment of them with mmusim import FILE",
)
KVM_STAT_OF_PERF: Final = _kind(
    r"^\s*VM-EXIT\s+Samples\b", "perf kvm stat", "mmusim fit c_fault_slow=FILE:EPT_VIOLATION"
)
KERNEL_TRACE: Final = _kind(
    r"^# tracer:|\[\d+\]\s.*\bkvm_(?:exit|entry|page_fault): ", "ftrace",
    "mmusim fit c_fault_slow=FILE for its exits, mmusim workload import FILE for its faults",
)  # fmt: skip
BPFTRACE: Final = _kind(
    r"^\s*[\[(]-?\d+[KMGTPE]?(?:, \d+[KMGTPE]?[)\]])?\]?\s+\d+\s*\|", "bpftrace's hist()",
    "mmusim fit COST=FILE:MAP",
)  # fmt: skip
BPFTRACE_JSON: Final = _kind(
    r'^\s*\{\s*"type"\s*:\s*"(?:hist|lhist)"', "bpftrace -f json", "mmusim fit COST=FILE:MAP"
)
BCC: Final = _kind(r"^\s*\w+\s*: count\s+distribution", "a tool of bcc", "mmusim fit COST=FILE")
PERF_FTRACE: Final = _kind(
    r"^\W*DURATION\s*\|\s*COUNT\s*\|", "perf ftrace latency", "mmusim fit COST=FILE"
)
HISTOGRAMS: Final = (BPFTRACE, BPFTRACE_JSON, BCC, PERF_FTRACE)
"""Outputs that hold counts of times in bins."""
PERF_TRACE: Final = _kind(
    r"\(\s*[0-9.]+\s*ms\s*\)\s*:\s.*\w+\(", "perf trace", "mmusim fit COST=FILE:CALL"
)
RECORDINGS: Final = (
    MIGRATION,
    KVM_STAT_OF_PERF,
    KERNEL_TRACE,
    _kind(
        r"^\s*contended\s+total wait\s+max wait\s+avg wait",
        "perf lock contention, which has waits for locks; a wait is what the simulation gives, "
        "no cost of a host",
        "compare it with mmu_lock_wait of mmusim report; fit c_lock_section to times that the lock "
        "is held",
    ),
    _kind(
        r"^\s*kvm statistics - |^\s*Event\s+Total\s+%Total\s+CurAvg/s",
        "kvm_stat, which counts events and times none",
        "compare counts with mmusim conform; for times record perf kvm stat or ftrace",
    ),
    _kind(
        r"^\s*Summary of events:|^\s*syscall\s+calls\s+errors",
        "perf trace -s, which has means and no distribution",
        "record with perf trace without -s, and mmusim fit COST=FILE:CALL",
    ),
    _kind(
        r"\bdirty memory time:|^Populate memory time:|^Enabling dirty logging time:",
        "dirty_log_perf_test, whose phases are many costs together",
        "compare them with mmusim dirty-log-perf-test --measured FILE",
    ),
    *HISTOGRAMS,
    PERF_TRACE,
    _kind(
        r"^@\S*: count \d+, average \d+",
        "bpftrace's stats(), which has a mean and no distribution",
        "write hist() in its place",
    ),
    _kind(
        r"\)\s+= .*<\d+\.\d+>$|^% time\s+seconds\s+usecs/call",
        "strace, whose own stops are most of a short call's time",
        "record with perf trace, and mmusim fit COST=FILE:CALL",
    ),
    _kind(r"^I  [0-9a-f]{2,16},\d+$", "valgrind's lackey", "mmusim workload import FILE"),
)  # fmt: skip
"""In the order in which they are tried: the most particular first."""


def recording_of(text: str) -> Recording | None:
    """Return the kind of a text by its first lines; None if it is unknown."""
    lines = [line for line in text[: 1 << 20].split("\n") if line.strip()][:HEAD]
    for kind in RECORDINGS:
        if any(kind.pattern.search(line[:1000]) for line in lines):
            return kind
    return None
