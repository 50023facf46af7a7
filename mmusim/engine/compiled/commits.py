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
    """The first `done` accesses of the run happened, and `spent_ns` went by since it began."""
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
    k, hits, walks, page = s.k[v], s.hits[v], s.walks[v], s.page
    code_at, sequential, writes = s.code[v], s.sequential[v], s.writes[v] << WRITE_BIT
    read_bins = s.bins[histogram_of(recorder, READS)]
    write_bins = s.bins[histogram_of(recorder, WRITES)]
    marked = s.marked[v]
    marks = len(s.touched) > 0 and s.recorder[v] == s.measured_recorder
    logs = s.logs[v]
    first, elsewhere = hits[0] + walks[0] + max(logs[0], 0), 0
    if s.began[v] >= 0:
        first = start_ns + s.ends[v, 0] - s.began[v]
        tried = recorder_at(s, v, s.began[v])
        if tried != recorder:
            elsewhere = 1
            write = code_of(s, v, k) >> WRITE_BIT
            tally(s, histogram_of(tried, WRITES if write else READS), first)
        s.began[v] = -1
    hit_sum = walk_sum = log_sum = reads = read_sum = write_sum = read_most = write_most = 0
    read_least = write_least = NEVER_NS
    for i in range(done):
        code = read_word(code_at, k + i) if code_at else (sequential + k + i) | writes
        gfn, hit, walk = code & GFN, hits[i], walks[i]
        hit_sum += hit
        walk_sum += walk
        latency = hit + walk if i else first
        if code >> WRITE_BIT:
            if logs[i] >= 0:
                log_sum += logs[i]
                latency += logs[i] if i else 0
                if i >= marked:
                    log_write(s, v, gfn)
            if i >= marked:
                page[gfn] |= STALE
            if i >= elsewhere:
                write_bins[bin_of(latency)] += 1
                write_sum += latency
                write_least, write_most = min(write_least, latency), max(write_most, latency)
        elif i >= elsewhere:
            reads += 1
            read_bins[bin_of(latency)] += 1
            read_sum += latency
            read_least, read_most = min(read_least, latency), max(read_most, latency)
        if marks and i >= marked:
            s.touched[gfn] = 1
    sum_up(s, histogram_of(recorder, READS), reads, read_sum, read_least, read_most)
    writes_n = done - elsewhere - reads
    sum_up(s, histogram_of(recorder, WRITES), writes_n, write_sum, write_least, write_most)
    ledger = s.ledger[recorder]
    ledger[HITS] += hit_sum
    ledger[WALK_4K] += walk_sum
    ledger[PML_LOG] += log_sum
    return hit_sum + walk_sum + log_sum


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
