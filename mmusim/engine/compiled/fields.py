"""The names and types of everything in a run's memory: scalars, fields of a vCPU, arrays."""

from __future__ import annotations

from typing import Final

from mmusim.base.histogram import BINS
from mmusim.costs.distributions import CELLS, OCTAVES
from mmusim.engine.compiled.weaving import INTERFERING, WOVEN
from mmusim.trace.stall_windows import WINDOWS
from mmusim.vocabulary.causes import CAUSES
from mmusim.vocabulary.costs import COSTS

SCALARS: Final = (
    "now", "sequence", "heap_n", "hole", "events", "until_events",
    # What compiled code wants of Python when it returns: why, for which vCPU, and one number more.
    "why_vcpu", "why_number", "actor", "place",
    # The machine.
    "cpus", "pages", "slot_first", "slot_end", "backing", "keep_child", "is_tdp", "shares",
    "pml", "fast_faults", "fast_at_target_only", "blocked_splits", "guest_shift", "has_upper",
    "protects_root", "protects_tables", "by_occurrence", "writes_cost", "refills", "run_limit",
    "in_flight_ns", "ring_size", "ring_soft", "measured_recorder", "buffer", "bundles", "by_rates",
    "halt_poll_ns",
    # Its state.
    "tracked", "taken_n", "taken_python", "frozen_n", "user_faults", "interferers",
    "free_interferers_n",
    # mmu_lock.
    "shareable", "count_ns", "line_free_ns", "held_n", "read", "read_since_ns", "read_ns",
    "passed_ns", "queue_first", "queue_n", "changed_ns", "queue_exclusive_ns", "queue_shared_ns",
    "waiting_exclusive", "waiting_shared", "breaks",
    "print_n", "stalls_full",
    # What a probe is told: whether, how many rows wait, from when to when; when next of a change.
    "has_probe", "probe_rows_n", "probe_from", "probe_until", "next_change",
    # The described machine: whether there is one, the epoch and its prices, and first touches.
    "loads", "running", "running_sum", "summed_ns", "epoch_ends", "slowdown", "line",
    "touches", "mmap_ns", "mmap_free_ns", "clear_ns", "clear_own_ns", "clear_free_ns",
    # Whether hits depend on pages in use and recent exits.
    "has_curve",
    # TLBs that let translations go: whether they do, and how often something was taken back.
    "has_tlb", "epoch",
)  # fmt: skip
"""Whole numbers of the run."""

_FIELDS: Final = (
    # Where it is: the place it goes on at, and the event it waits for.
    "at", "waits", "program_no", "alive",
    "in_guest", "halted", "left_ns", "accesses", "flush_requested", "handling", "graces",
    "entering_ns", "turned_back", "leaving_ns",
    "queued_work", "taken_until_ns", "stolen_ns", "recorder", "started_ns", "length",
    "need_resched", "shares_processor",
    # What is charged: up to when, the last two charges, and how many recorders time is owed to.
    "charged_ns", "last_cause", "last_ns", "cause_before", "owed_n",
    # Kicks: how many compiled code has sent, and how many of these are answered; of the last kick,
    # the number of the event that Python waits for, or the vCPU that waits; -1: none.
    "kick_sent", "kick_answered", "ack_slot", "ack_for",
    # How often it has paid for what is counted.
    "kicks", "flushes", "ring_exits", "user_exits",
    "pml_n", "ring_n", "ring_pushed", "stall_n", "stall_kept", "stall_seen", "stall_begin",
    # Its program: addresses of arrays, or 0, and its first access among all of the vCPU.
    "first", "code", "sequential", "writes", "extra", "due", "last", "halts", "think", "repeats",
    "private", "set_at", "set_n",
    # Whether it runs on a described machine, and touches more than a cache holds.
    "runs", "misses",
    # Distributions of its hits and walks now, the block of accesses for which they were looked up,
    # and that in which it exited last.
    "hit_shape", "walk_shape", "table_block", "exit_block",
    # In the place of accesses, rates: leaves (0: none), how many of them are blocks of writes, the
    # pages they lie in, the key of their points, guest time, the point that comes next and its
    # leaf, the one passed last, and the number that the costs of point 0 have.
    "leaves", "blocks", "base", "own_pages", "points_key", "tree_half", "guest_ns", "lasts_ns",
    "point", "leaf", "past", "first_point",
    # The planned run.
    "k", "count", "total_ns", "run_start", "under_way", "marked", "began", "think_left",
    # The answer to a kick that it waits for, and the text that says what it waits for.
    "awaited", "waits_for",
    # What woven procedures have in hand.
    *WOVEN.fields,
    # The state of the last period that a probe was told of, see probe_rows.py, and the page that it
    # faulted on last.
    "probe_state", "tried",
    # Its TLB: whether it is followed, accesses when it was flushed last, uses that are planned.
    "tlb_live", "flushed_at", "tlb_planned",
    # The program before: address or 0, first page, and how many accesses it made.
    "before_code", "before_sequential", "before_n",
)  # fmt: skip

LINE: Final = 8
"""Whole numbers in a line of a processor's cache."""
BUFFER: Final = 1 << 11
"""Accesses in a planned run, at most."""
ROOM: Final = BUFFER + LINE
"""Length of rows that have them: an odd number of lines, so that those of many vCPUs do not compete
for the same places of a cache."""

FAULT_PATH: Final = (
    "at", "waits", "recorder", "charged_ns", "last_cause", "last_ns", "cause_before", "owed_n",
    "page_fault_gfn", "page_fault_index", "page_fault_write", "page_fault_tracked",
    "page_fault_locked", "page_fault_entry", "page_fault_outcome", "page_fault_returns",
    "page_fault_exit_ns", "page_fault_seen_present", "page_fault_seen_level",
    "page_fault_tries_fast", "map_page_level", "map_page_bits", "map_page_region",
    "map_page_returns",
    "enter_guest_entry_ns", "enter_guest_cause", "enter_guest_index", "enter_guest_goes_back_to",
    "go_through_faults", "go_through_stuck_at", "count_reader_goes_back_to", "touch_goes_back_to",
    "in_guest", "left_ns", "handling", "graces", "turned_back", "flush_requested", "queued_work",
    "stolen_ns",
    "need_resched", "entering_ns", "leaving_ns", "pml_n", "runs", "tlb_planned", "accesses",
    "touch_start",
    "k", "count", "total_ns", "first", "length", "leaves", "code", "sequential",
    "writes", "think", "extra", "due", "halts", "private", "hit_shape", "walk_shape",
    "run_start", "marked", "under_way", "began", "page_fault_began", "in_queue_asked", "waits_for",
    "misses",
    "stall_n", "stall_begin", "stall_kept", "stall_seen", "table_block", "exit_block",
)  # fmt: skip
"""Fields that a slow fault and a hit read and write. They come first, those of one moment in one
line, so that many vCPUs have them in the cache."""

_REST: Final = tuple(name for name in _FIELDS if name not in FAULT_PATH)
VCPU: Final = (*FAULT_PATH, *_REST, *(f"free_{n}" for n in range(-len(_FIELDS) % LINE)))
"""Whole numbers of each vCPU; rows are whole lines."""

FIELD: Final = {name: number for number, name in enumerate(VCPU)}
"""The place of each of them in a vCPU's row."""

ARRAYS: Final = {
    "heap": ("int64", 1),  # (room,): times
    "heap_events": ("int64", 2),  # (room, 2): priority and sequence, what
    "page": ("uint8", 1),
    "region": ("uint8", 1),
    "giant": ("uint8", 1),
    "disallow_lpage": ("uint16", 1),
    "disallow_1g": ("uint16", 1),
    "stat": ("int64", 1),
    "resident": ("uint8", 1),  # empty: all
    "held": ("uint8", 1),  # write-protected by the host; empty: none
    "nx_small": ("uint8", 1),  # (regions,) no fault has met the mitigation here yet
    "frozen_region": ("uint8", 1),
    "frozen_giant": ("uint8", 1),
    "guest_dirty": ("boolean", 1),
    "guest_orphans": ("int64", 1),
    "upper_region": ("boolean", 1),
    "upper_giant": ("boolean", 1),
    "upper_root": ("boolean", 1),
    "upper_writable": ("int64", 1),
    "upper_had_large": ("boolean", 1),
    "touched": ("uint8", 1),
    "fast_path": ("boolean", 3),  # (tracked, large, access bits)
    "taken": ("int64", 2),  # (room, 4): pages from, to, regions from, to
    # Chance.
    "quantiles": ("float64", 3),  # (distributions, tail, nodes)
    "constants": ("float64", 1),  # (distributions,) the value; nan: it is none
    "shape": ("int64", 2),  # (vCPUs, streams) -> distribution
    "keys": ("uint64", 2),  # (vCPUs, streams)
    "paid": ("int64", 1),  # (streams,) payments, by-occurrence
    "reals": ("float64", 1),
    "handoff": ("int64", 1),  # (waiters + 1,) ns
    # Guests that are given by rates.
    "tournament": ("int64", 2),  # (vCPUs, 2 x leaves rounded up): least points below each node
    "block_law": ("uint16", 2),  # (vCPUs, leaves) -> law
    "law_bits": ("int64", 1),  # (laws,) log2 of a cell; -1 a sweep, -2 no access
    "law_counts": ("float64", 2),  # (laws, counts) how many points a cell has at most
    "law_step": ("int64", 1),  # (laws,) of a sweep: from page to page
    "law_pages": ("int64", 1),  # (laws,) of a sweep
    "looked": ("int64", 2),  # (ranges, 2): gfns from, to, to look at again
    # Recorders.
    "ledger": ("int64", 2),  # (recorders, causes)
    "since": ("int64", 1),  # (recorders,) when each took over from the one before it; 0: the first
    "probe_rows": ("int64", 2),  # (room, columns), see probe_rows.py
    "owed": ("int64", 3),  # (vCPUs, edges, 2): a recorder, the time that it gets of what comes
    "bins": ("int64", 2),  # (histograms, bins)
    "exact": ("int64", 2),  # (histograms, 4): count, sum, least, most
    "prints": ("int64", 1),  # of the trajectory, not hashed yet
    "stall_from": ("int64", 2),  # (vCPUs, room)
    "stall_to": ("int64", 2),
    "stall_before": ("int64", 2),  # time of stalls before each
    "worst": ("int64", 2),  # (vCPUs, windows); -1: no window yet
    # Runs of hits.
    "ends": ("int64", 2),  # (vCPUs, ROOM)
    "hits": ("int64", 2),
    "walks": ("int64", 2),
    "logs": ("int64", 2),  # what logging took of a write that sets D; -1: an access that does not
    "idles": ("int64", 2),  # the same, or empty
    # Queues.
    "queue": ("int64", 2),  # (actors, 4): of mmu_lock: who, asked, shared, slot of a Python event
    "holder_rows": ("int64", 2),  # (actors, 3): holds, asked, got; actor -1 is the last
    **dict.fromkeys(WOVEN.lists, ("int64", 2)),  # (vCPUs, vCPUs)
    "buffered": ("int64", 2),  # (vCPUs, entries) of PML
    "ring": ("int64", 2),  # (vCPUs, entries)
    "stolen_times": ("int64", 2),  # (vCPUs, sources): how often
    # Interfering sources.
    "interferer_at": ("int64", 1),  # (room,): the place where each goes on
    "free_interferers": ("int64", 1),  # (room,): rows that nobody has, then anything
    **dict.fromkeys(INTERFERING.fields, ("int64", 1)),  # (room,): what it has in hand
    "working": ("int64", 2),  # (vCPUs, entries): pages in use around `set_at`
    "last_seen": ("int32", 1),
    # The described machine.
    "slowdowns": ("int64", 1),  # (vCPUs + 1,) of 1 ns, in ns / 4096, by running vCPUs
    "lines": ("int64", 1),  # of a line from memory
    # Hits by recent exits, or empty.
    "exits": ("int64", 2),  # (vCPUs, blocks kept) by number of the block
    "exits_least": ("int64", 2),  # (vCPUs, tables) exits from which each applies
    "hit_shapes": ("int64", 2),  # (vCPUs, tables)
    "walk_shapes": ("int64", 2),
    # TLBs that let translations go, or empty; a level's translations are a part of the entries.
    "tlb_first": ("int64", 1),  # (levels + 1,): where the entries of each level begin
    "tlb_ends": ("int64", 3),  # (vCPUs, levels, 3): entries in use, used last, used longest ago
    "tlb_key": ("int64", 2),  # (vCPUs, entries)
    "tlb_epoch": ("int64", 2),
    "tlb_newer": ("int64", 2),  # the entry of its level that was used next after it; -1: none
    "tlb_older": ("int64", 2),
    "tlb_chain": ("int64", 2),  # the next entry in its bucket; -1: none
    "tlb_bucket": ("int64", 2),  # (vCPUs, a power of two); -1: empty
    "tlb_uses": ("int64", 3),  # (vCPUs, accesses ahead, 5): what a planned use has changed
    "revoked": ("int64", 1),  # (regions,): epoch in which an entry was taken back last
}  # fmt: skip
"""Arrays: Numba type of the elements, dimensions."""

LAST: Final = {
    "heap_events": 2, "taken": 4, "owed": 2, "bins": BINS, "exact": 4, "queue": 4, "holder_rows": 3,
    "tlb_ends": 3, "tlb_uses": 5, "ends": ROOM, "hits": ROOM, "walks": ROOM, "logs": ROOM,
    "ledger": len(CAUSES), "worst": len(WINDOWS), "quantiles": OCTAVES * CELLS + 1,
}  # fmt: skip
"""How many elements the last dimension of an array has, where that is always the same."""

FIXED: Final = frozenset({
    "fast_path", "quantiles", "constants", "shape", "keys", "reals", "handoff", "block_law",
    "law_bits", "law_counts", "law_step", "law_pages", "lines", "exits_least",
    "hit_shapes", "walk_shapes", "tlb_first",
})  # fmt: skip
"""Arrays that compiled code reads only: Python changes them, and only between two calls."""

UPPER: Final = {
    "region": "upper_region",
    "giant": "upper_giant",
    "root": "upper_root",
    "writable": "upper_writable",
    "had_large": "upper_had_large",
}
"""What :class:`~mmusim.mmu.upper_levels.UpperLevels` calls its arrays."""

T_THINK: Final = len(COSTS)
"""The stream of think times; a vCPU's stream of a cost has the number of the cost."""
INTERFERENCE_STREAMS: Final = T_THINK + 1
"""Streams from here on: the gaps of source 0, how long it lasts, the gaps of source 1 ..."""

(
    SLOW_AFTER_EXIT, SLOW_ENTRY, SLOW_LOCKED, SLOW_RESTORED, FAST_AFTER_EXIT, FAST_ENTRY,
    REFILL_SMALL, REFILL_LARGE, PUSH_DOWN,
) = range(9)  # fmt: skip
"""Of `reals`."""

READS, WRITES, REQUESTS, STALLS = range(4)
"""Histograms of a phase's recorder; those of mmu_lock are the first four of all."""
WAITS_EXCLUSIVE, WAITS_SHARED, HOLDS_EXCLUSIVE, HOLDS_SHARED = range(4)
LOCK_HISTOGRAMS: Final = 4
