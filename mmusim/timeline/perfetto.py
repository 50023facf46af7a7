"""A timeline as a file in the Trace Event Format, which the Perfetto UI opens.

Times are in microseconds with three decimals, so to the nanosecond. Slices of one track nest or do
not overlap.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mmusim.timeline.record import Timeline, held, name_of, queue_lengths
from mmusim.trace.records import HOST, PhaseTrace

Event = dict[str, Any]

GUEST_PID: Final = 1
HOST_PID: Final = 2
THREAD_TID: Final = 1  # of the host: its thread, mmu_lock, and the rounds of migrations
LOCK_TID: Final = 2
ROUNDS_TID: Final = 3
WINDOWS_TID: Final = 4  # of the first window; they may overlap, so each has a track


def trace_events(timeline: Timeline, about: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a timeline as an object of the Trace Event Format; `about` names the run further."""
    facts = {**(about or {}), "policy": timeline.policy, "seed": timeline.seed}
    if timeline.left_out:
        facts["left out"] = timeline.left_out
    return {
        "displayTimeUnit": "ns",
        "otherData": facts,
        "traceEvents": [
            *_names(timeline), *_vcpus(timeline), *_host(timeline), *_lock(timeline),
            *_requests(timeline), *_rounds(timeline), *_windows(timeline), *_counts(timeline),
        ],
    }  # fmt: skip


def write(
    timeline: Timeline, path: Path, *, packed: bool, about: Mapping[str, str] | None = None
) -> None:
    """Write the file, compressed with gzip if `packed`; `about` names the run beyond policy and
    seed.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    text = json.dumps(trace_events(timeline, about), separators=(",", ":"))
    data = text.encode()
    path.write_bytes(gzip.compress(data, mtime=0) if packed else data)


def _names(timeline: Timeline) -> Iterator[Event]:
    processes = {GUEST_PID: f"guest, {timeline.policy}, seed {timeline.seed}", HOST_PID: "host"}
    threads = {(GUEST_PID, n + 1): name_of(n) for n in range(len(timeline.vcpus))}
    threads |= {
        (GUEST_PID, len(timeline.vcpus) + cpu + 1): f"requests of {name_of(cpu)}"
        for cpu in sorted({one.cpu for one in timeline.requests})
    }
    threads |= {(HOST_PID, THREAD_TID): name_of(HOST), (HOST_PID, LOCK_TID): "mmu_lock"}
    if any(phase.migration for phase in timeline.phases):
        threads[HOST_PID, ROUNDS_TID] = "migration"
    for number, window in enumerate(timeline.windows):
        threads[HOST_PID, WINDOWS_TID + number] = f"window {window.name}"
    for pid, name in processes.items():
        yield {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": name}}
    for (pid, tid), name in threads.items():
        track: Event = {"ph": "M", "pid": pid, "tid": tid}
        yield track | {"name": "thread_name", "args": {"name": name}}
        yield track | {"name": "thread_sort_index", "args": {"sort_index": tid}}


def _slice(
    pid: int, tid: int, name: str, start_ns: int, end_ns: int, args: Mapping[str, Any]
) -> Event:  # fmt: skip
    return {
        "ph": "X", "pid": pid, "tid": tid, "name": name, "cat": "mmusim",
        "ts": start_ns / 1000, "dur": (end_ns - start_ns) / 1000, "args": dict(args),
    }  # fmt: skip


def _vcpus(timeline: Timeline) -> Iterator[Event]:
    for number, lane in enumerate(timeline.vcpus):
        for s in lane:
            facts = s.causes if s.gfn < 0 else {**s.causes, "gfn": s.gfn}
            yield _slice(GUEST_PID, number + 1, s.state, s.start_ns, s.end_ns, facts)


def _requests(timeline: Timeline) -> Iterator[Event]:
    """Yield what each vCPU served, one request after the other, and how long each waited."""
    free = [0] * len(timeline.vcpus)
    for one in timeline.requests:
        begins = max(one.due_ns, free[one.cpu])
        free[one.cpu] = one.end_ns
        facts = {"waited (ns)": begins - one.due_ns, "latency (ns)": one.end_ns - one.due_ns}
        track = len(timeline.vcpus) + one.cpu + 1
        yield _slice(GUEST_PID, track, "request", begins, one.end_ns, facts)


def _host(timeline: Timeline) -> Iterator[Event]:
    """Yield the phases, and within them the waits for mmu_lock and its holds."""
    for number, phase in enumerate(timeline.phases):
        name = f"{phase.do} {phase.name}".strip()
        if phase.end_ns > phase.start_ns:
            yield _slice(
                HOST_PID, THREAD_TID, name, phase.start_ns, phase.end_ns, _facts(phase)
            )  # fmt: skip
        else:
            yield {
                "ph": "i", "s": "p", "pid": HOST_PID, "tid": THREAD_TID, "cat": "mmusim",
                "name": f"{name} begins" if phase.guest else name, "ts": phase.start_ns / 1000,
                "args": {"phase": number + 1},
            }  # fmt: skip
    for hold in timeline.holds:
        if hold.who == HOST:
            if hold.got_ns > hold.asked_ns:
                yield _slice(
                    HOST_PID, THREAD_TID, "waits for mmu_lock", hold.asked_ns, hold.got_ns, {}
                )  # fmt: skip
            if hold.released_ns == hold.got_ns:
                continue  # taken and given back within the instant
            mode = "for read" if hold.shared else "for write"
            yield _slice(
                HOST_PID, THREAD_TID, f"mmu_lock {mode}", hold.got_ns, hold.released_ns, {}
            )


def _facts(phase: PhaseTrace) -> dict[str, Any]:
    facts: dict[str, Any] = {"spent (ns)": dict(phase.spent)} if phase.spent else {}
    if phase.dirty is not None:
        facts |= {"dirty": phase.dirty, "false dirty": phase.false_dirty}
    return facts


def _lock(timeline: Timeline) -> Iterator[Event]:
    for h in held(timeline.holds):
        if h.start_ns == h.end_ns:
            continue  # taken and given back within the instant
        name = f"{len(h.by)} for read" if h.shared else f"{name_of(h.by[0])} for write"
        by = {"holders": [name_of(who) for who in h.by]}
        yield _slice(HOST_PID, LOCK_TID, name, h.start_ns, h.end_ns, by)
    for at_ns, length in queue_lengths(timeline.holds):
        yield _count("waiting for mmu_lock", at_ns, {"waiting": length})


def _rounds(timeline: Timeline) -> Iterator[Event]:
    """Yield the rounds of migrations, what each left to be sent, and the throttle."""
    for m in (phase.migration for phase in timeline.phases if phase.migration is not None):
        for number, r in enumerate(m.rounds, 1):
            if r.end_ns > r.start_ns:
                facts = {"sent pages": r.sent_pages, "dirty pages": r.dirty_pages}
                name = f"round {number}"
                yield _slice(HOST_PID, ROUNDS_TID, name, r.start_ns, r.end_ns, facts)
            yield _count("to be sent", r.end_ns, {"pages": r.dirty_pages})
        for at_ns, share in m.throttle:
            yield _count("throttle", at_ns, {"percent": round(100 * share)})


def _windows(timeline: Timeline) -> Iterator[Event]:
    """Yield the periods that are measured."""
    for number, window in enumerate(timeline.windows):
        facts = {"accesses": window.reads.count + window.writes.count}
        yield _slice(
            HOST_PID, WINDOWS_TID + number, window.name, window.start_ns, window.end_ns, facts
        )  # fmt: skip


def _counts(timeline: Timeline) -> Iterator[Event]:
    for reading in timeline.readings:
        for name, value in reading.values.items():
            yield _count(name, reading.at_ns, {"pages": value})


def _count(name: str, at_ns: int, values: Mapping[str, int]) -> Event:
    return {
        "ph": "C", "pid": HOST_PID, "tid": 0, "name": name, "ts": at_ns / 1000,
        "args": dict(values),
    }  # fmt: skip
