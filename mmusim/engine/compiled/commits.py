"""Runs of hits that have happened, committed as in :mod:`mmusim.engine.state.guest_run`."""

from __future__ import annotations

from typing import Any

from mmusim.engine.compiled.fields import READS, REQUESTS, WRITES
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.probe_rows import tell_request, tell_run
from mmusim.engine.compiled.rates import look_on, passed_by_rate
from mmusim.engine.compiled.raw_reads import read_bool, read_long, read_word
from mmusim.engine.compiled.recording import (
    bin_of,
    histogram_of,
    parts_with,
    recorder_at,
    sum_up,
    tally,
)
from mmusim.engine.compiled.runs import (
    GFN,
    WRITE_BIT,
    code_of,
    has_lead,
    log_write,
    think_before,
)
from mmusim.mmu.spte import STALE
from mmusim.vocabulary.causes import HITS, IDLE, PML_LOG, THINK, WALK_4K

NEVER_NS = 1 << 62  # ns


@jit
def commit(s: Any, v: int, done: int, spent_ns: int, start_ns: int) -> None:
    """Commit the first `done` accesses of the run that began at `start_ns`, `spent_ns` after
    that.
    """
    if s.has_probe:
        tell_run(s, v, done, spent_ns, start_ns, has_lead(s, v))
    ended = s.ends[v, done - 1] if done else 0
    recorder = recorder_at(s, v, start_ns)
    ledger = s.ledger[recorder]
    s.charged_ns[v] += spent_ns
    think, idle = spent_ns - ended, 0
    if think:
        idle = min(s.idles[v, done], think)
        think -= idle
    if done == 0:
        ledger[IDLE] += idle
        ledger[THINK] += think
        s.think_left[v] -= think
        s.owed_n[v] = 0
        if s.leaves[v]:
            passed_by_rate(s, v, spent_ns)
        return
    busy = _commit_accesses(s, v, done, start_ns, recorder)
    if s.due[v]:
        idle += _commit_requests(s, v, done, start_ns)
    ledger[IDLE] += idle
    ledger[THINK] += spent_ns - busy - idle
    if s.owed_n[v]:
        last = done - 1
        log = max(s.logs[v, last], 0)
        parts_with(s, v, recorder, spent_ns, log, s.walks[v, last], s.hits[v, last])
    s.k[v] += done
    s.accesses[v] += done
    if s.leaves[v]:
        look_on(s, v)
        return
    if has_lead(s, v):
        s.think_left[v] = think_before(s, v, s.k[v]) - think


@jit
def _commit_accesses(s: Any, v: int, done: int, start_ns: int, recorder: int) -> int:
    """Charge and mark the accesses; return the time spent in them."""
    hits, walks, logs = s.hits[v], s.walks[v], s.logs[v]
    first = hits[0] + walks[0] + max(logs[0], 0)
    tried = recorder
    if s.began[v] >= 0:
        first = start_ns + s.ends[v, 0] - s.began[v]
        tried = recorder_at(s, v, s.began[v])
        s.began[v] = -1
    write = code_of(s, v, s.k[v]) >> WRITE_BIT
    tally(s, histogram_of(tried, WRITES if write else READS), first)
    hit_sum, walk_sum, log_sum, logged = hits[0], walks[0], max(logs[0], 0), logs[0] >= 0
    if done > 1:
        _tally_latencies(s, v, done, recorder)
        for i in range(1, done):
            hit_sum += hits[i]
            walk_sum += walks[i]
            log_sum += max(logs[i], 0)
            logged |= logs[i] >= 0
    if logged:
        for i in range(s.marked[v], done):
            if logs[i] >= 0:
                log_write(s, v, code_of(s, v, s.k[v] + i) & GFN)
    _mark(s, v, s.marked[v], done)
    ledger = s.ledger[recorder]
    ledger[HITS] += hit_sum
    ledger[WALK_4K] += walk_sum
    ledger[PML_LOG] += log_sum
    return hit_sum + walk_sum + log_sum


@jit
def _tally_latencies(s: Any, v: int, done: int, recorder: int) -> None:
    """Add the latencies of all accesses but the first, which no fault precedes."""
    hits, walks, logs, code_at = s.hits[v], s.walks[v], s.logs[v], s.code[v]
    of_reads = histogram_of(recorder, READS)
    if code_at == 0:
        number = of_reads + s.writes[v]
        bins, total, least, most = s.bins[number], 0, NEVER_NS, 0
        for i in range(1, done):
            latency = hits[i] + walks[i] + max(logs[i], 0)
            total += latency
            least, most = min(least, latency), max(most, latency)
        for i in range(1, done):
            bins[bin_of(hits[i] + walks[i] + max(logs[i], 0))] += 1
        sum_up(s, number, done - 1, total, least, most)
        return
    k = s.k[v]
    writes = read_sum = write_sum = read_most = write_most = 0
    read_least = write_least = NEVER_NS
    for i in range(1, done):
        latency, write = (
            hits[i] + walks[i] + max(logs[i], 0),
            read_word(code_at, k + i) >> WRITE_BIT,
        )
        writes += write
        of_write = latency if write else 0
        read_sum += latency - of_write
        write_sum += of_write
        read_most, write_most = max(read_most, latency - of_write), max(write_most, of_write)
        read_least = min(read_least, NEVER_NS if write else latency)
        write_least = min(write_least, latency if write else NEVER_NS)
    for i in range(1, done):
        latency, write = (
            hits[i] + walks[i] + max(logs[i], 0),
            read_word(code_at, k + i) >> WRITE_BIT,
        )
        s.bins[of_reads + write, bin_of(latency)] += 1
    sum_up(s, of_reads, done - 1 - writes, read_sum, read_least, read_most)
    sum_up(s, of_reads + WRITES - READS, writes, write_sum, write_least, write_most)


@jit
def _mark(s: Any, v: int, first: int, done: int) -> None:
    """Mark what is written, and touched where that is measured, from access `first` of the run."""
    code_at, page, k = s.code[v], s.page, s.k[v]
    sequential = s.sequential[v] + k
    if code_at:
        for i in range(first, done):
            code = read_word(code_at, k + i)
            if code >> WRITE_BIT:
                page[code & GFN] |= STALE
    elif s.writes[v]:
        for gfn in range(sequential + first, sequential + done):
            page[gfn] |= STALE
    if len(s.touched) > 0 and s.recorder[v] == s.measured_recorder:
        for i in range(first, done):
            s.touched[code_of(s, v, k + i) & GFN] = 1


@jit
def _commit_requests(s: Any, v: int, done: int, start_ns: int) -> int:
    """Charge the requests that were completed; return how long was waited for them."""
    idle = 0
    for i in range(done):
        idle += s.idles[v, i]
        k = s.k[v] + i
        if read_bool(s.last[v], k):
            due = read_long(s.due[v], k)
            number = histogram_of(recorder_at(s, v, due), REQUESTS)
            tally(s, number, start_ns + s.ends[v, i] - due)
            if s.has_probe:
                tell_request(s, v, due, start_ns + s.ends[v, i])
    return idle
