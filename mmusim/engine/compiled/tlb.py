"""Contents of a TLB while rights wait for a flush, as in :mod:`mmusim.engine.state.tlb_contents`.

The translations of a level are a list in the order of use, and a hash table has all of them. A
planned use changes them at once. Uses that do not happen are undone, the last one first.
"""

from __future__ import annotations

from typing import Any

from mmusim.engine.compiled.cost_draws import hit_ns, walk_ns
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.machine_load import left
from mmusim.engine.compiled.mechanism import hit_level, leaf
from mmusim.engine.compiled.raw_reads import read_word
from mmusim.engine.compiled.runs import (
    GFN,
    WRITE_BIT,
    code_of,
    has_lead,
    idle_before,
    think_before,
)
from mmusim.engine.state.tlb_contents import AHEAD, KEPT, LONG_AGO, LOOK_BACK
from mmusim.mmu.spte import LEVEL_1G, PRESENT, TLB_READ, TLB_WRITE

COUNT, NEWEST, OLDEST = range(3)
HIT, FILLED, REPLACED = range(3)
"""Kinds of uses: of what is there, of a free entry, of that of another translation."""


@jit
def key_of(gfn: int, level: int) -> int:
    """Return the key of the translation of a page at `level` 1 to 3."""
    return gfn >> 9 * (level - 1) << 2 | level


@jit
def _bucket(s: Any, key: int) -> int:
    return ((key * 0x9E3779B1) >> 12) & (len(s.tlb_bucket[0]) - 1)


@jit
def find(s: Any, v: int, key: int) -> int:
    """Return the entry that holds a translation, by its key; -1 if none does."""
    entry = s.tlb_bucket[v, _bucket(s, key)]
    while entry >= 0 and s.tlb_key[v, entry] != key:
        entry = s.tlb_chain[v, entry]
    found: int = entry
    return found


@jit
def _enter(s: Any, v: int, entry: int, key: int, epoch: int) -> None:
    """Let an entry hold a translation."""
    bucket = _bucket(s, key)
    s.tlb_key[v, entry], s.tlb_epoch[v, entry] = key, epoch
    s.tlb_chain[v, entry] = s.tlb_bucket[v, bucket]
    s.tlb_bucket[v, bucket] = entry


@jit
def _leave(s: Any, v: int, entry: int) -> None:
    """Let an entry hold nothing."""
    bucket, after = _bucket(s, s.tlb_key[v, entry]), s.tlb_chain[v, entry]
    other = s.tlb_bucket[v, bucket]
    if other == entry:
        s.tlb_bucket[v, bucket] = after
        return
    while s.tlb_chain[v, other] != entry:
        other = s.tlb_chain[v, other]
    s.tlb_chain[v, other] = after


@jit
def _unlink(s: Any, v: int, level: int, entry: int) -> None:
    """Take an entry out of the order of use."""
    newer, older = s.tlb_newer[v, entry], s.tlb_older[v, entry]
    if newer >= 0:
        s.tlb_older[v, newer] = older
    else:
        s.tlb_ends[v, level, NEWEST] = older
    if older >= 0:
        s.tlb_newer[v, older] = newer
    else:
        s.tlb_ends[v, level, OLDEST] = newer


@jit
def _link(s: Any, v: int, level: int, entry: int, newer: int) -> None:
    """Put an entry into the order of use behind one that was used later; -1: it is the newest."""
    older = s.tlb_older[v, newer] if newer >= 0 else s.tlb_ends[v, level, NEWEST]
    s.tlb_newer[v, entry], s.tlb_older[v, entry] = newer, older
    if newer >= 0:
        s.tlb_older[v, newer] = entry
    else:
        s.tlb_ends[v, level, NEWEST] = entry
    if older >= 0:
        s.tlb_newer[v, older] = entry
    else:
        s.tlb_ends[v, level, OLDEST] = entry


@jit
def _room(s: Any, level: int) -> int:
    room: int = s.tlb_first[level] - s.tlb_first[level - 1]
    return room


@jit
def use(s: Any, v: int, key: int, epoch: int) -> None:
    """Plan a use of the translation `key`: with its rights (KEPT), or after a walk."""
    level = key & 3
    entry = find(s, v, key)
    uses, i = s.tlb_uses[v], s.tlb_planned[v]
    s.tlb_planned[v] = i + 1
    if entry >= 0:
        uses[i, 0], uses[i, 1], uses[i, 2] = HIT, entry, s.tlb_newer[v, entry]
        uses[i, 3] = s.tlb_epoch[v, entry]
        if epoch != KEPT:
            s.tlb_epoch[v, entry] = epoch
        if s.tlb_newer[v, entry] >= 0:
            _unlink(s, v, level, entry)
            _link(s, v, level, entry, -1)
        return
    if s.tlb_ends[v, level, COUNT] < _room(s, level):
        entry = s.tlb_first[level - 1] + s.tlb_ends[v, level, COUNT]
        s.tlb_ends[v, level, COUNT] += 1
        uses[i, 0], uses[i, 1] = FILLED, entry
    else:
        entry = s.tlb_ends[v, level, OLDEST]
        uses[i, 0], uses[i, 1] = REPLACED, entry
        uses[i, 3], uses[i, 4] = s.tlb_epoch[v, entry], s.tlb_key[v, entry]
        _unlink(s, v, level, entry)
        _leave(s, v, entry)
    _enter(s, v, entry, key, epoch)
    _link(s, v, level, entry, -1)


@jit
def happened(s: Any, v: int, done: int) -> None:
    """Commit the first `done` planned uses and undo the others."""
    uses = s.tlb_uses[v]
    for i in range(s.tlb_planned[v] - 1, done - 1, -1):
        entry = uses[i, 1]
        level = s.tlb_key[v, entry] & 3
        if uses[i, 0] == HIT:
            s.tlb_epoch[v, entry] = uses[i, 3]
            if uses[i, 2] >= 0:
                _unlink(s, v, level, entry)
                _link(s, v, level, entry, uses[i, 2])
            continue
        _unlink(s, v, level, entry)
        _leave(s, v, entry)
        if uses[i, 0] == FILLED:
            s.tlb_ends[v, level, COUNT] -= 1
        else:
            _enter(s, v, entry, uses[i, 4], uses[i, 3])
            _link(s, v, level, entry, s.tlb_ends[v, level, OLDEST])
    s.tlb_planned[v] = 0


@jit
def _page_before(s: Any, v: int, back: int) -> int:
    """Return the page of the access `back` accesses ago, 1 is the last one; -1: unknown."""
    if back <= s.k[v]:
        return code_of(s, v, s.k[v] - back) & GFN
    k = s.before_n[v] - (back - s.k[v])
    if k < 0:
        return -1
    page: int = s.before_sequential[v] + k
    if s.before_code[v]:
        page = read_word(s.before_code[v], k) & GFN
    return page


@jit
def _level_before(s: Any, gfn: int) -> int:
    """Return the level at which a page was mapped before what waits for a flush, or is; or 0."""
    held = PRESENT | TLB_READ | TLB_WRITE
    if s.giant[gfn >> 18] & held:
        return LEVEL_1G
    if s.region[gfn >> 9] & held:
        return 2
    return 1 if s.page[gfn] & held else 0


@jit
def _append(s: Any, v: int, level: int, key: int) -> None:
    """Add a translation that was used before all others, if there is room."""
    n = s.tlb_ends[v, level, COUNT]
    if n == _room(s, level) or find(s, v, key) >= 0:
        return
    entry = s.tlb_first[level - 1] + n
    s.tlb_ends[v, level, COUNT] = n + 1
    _enter(s, v, entry, key, LONG_AGO)
    _link(s, v, level, entry, s.tlb_ends[v, level, OLDEST])


@jit
def _rebuild(s: Any, v: int) -> None:
    """Find the translations used last since the last flush."""
    for bucket in range(s.tlb_bucket.shape[1]):
        s.tlb_bucket[v, bucket] = -1
    most = 0
    for level in range(1, LEVEL_1G + 1):
        s.tlb_ends[v, level, COUNT] = 0
        s.tlb_ends[v, level, NEWEST] = s.tlb_ends[v, level, OLDEST] = -1
        most = max(most, _room(s, level))
    known = min(s.accesses[v] - s.flushed_at[v], LOOK_BACK * most)
    for back in range(1, known + 1):
        gfn = _page_before(s, v, back)
        if gfn < 0:
            break
        level = _level_before(s, gfn)
        if level:
            _append(s, v, level, key_of(gfn, level))


@jit
def stand(s: Any, v: int) -> None:
    """Begin a plan at the vCPU's position: know what its TLB holds there."""
    if s.tlb_live[v] == 0:
        _rebuild(s, v)
        s.tlb_live[v] = 1
    s.tlb_planned[v] = 0


@jit
def _has_from_before(s: Any, v: int, gfn: int, level: int) -> bool:
    """Tell whether a translation that was taken back is there from before."""
    entry = find(s, v, key_of(gfn, level))
    held: bool = entry >= 0 and s.tlb_epoch[v, entry] < s.revoked[gfn >> 9]
    return held


@jit
def level_through(s: Any, v: int, gfn: int, write: int) -> int:
    """Return the level of the translation that the next access uses at once, 1 to 3, or 0."""
    stale = TLB_WRITE if write else TLB_READ
    level: int = 0
    if s.giant[gfn >> 18] & stale and _has_from_before(s, v, gfn, LEVEL_1G):
        level = LEVEL_1G
    elif s.region[gfn >> 9] & stale and _has_from_before(s, v, gfn, 2):
        level = 2
    elif s.page[gfn] & stale and _has_from_before(s, v, gfn, 1):
        level = 1
    if level:
        use(s, v, key_of(gfn, level), KEPT)
        return level
    level = hit_level(s, gfn, write, False)
    if level:
        use(s, v, key_of(gfn, level), s.epoch)
    return level


@jit
def use_logged(s: Any, v: int, gfn: int) -> None:
    """Plan the use of a translation by a write that sets D."""
    level, _ = leaf(s, gfn)
    use(s, v, key_of(gfn, level), s.epoch)


@jit
def plan_through(s: Any, v: int) -> bool:
    """Plan a run while rights wait for their flush; False if the next access exits at once."""
    stand(s, v)
    k, first, leads = s.k[v], s.first[v], has_lead(s, v)
    last = min(s.length[v], k + min(s.run_limit, AHEAD))
    until, lead = left(s), 0
    now, i = 0, k
    while i < last:
        idle = idle_before(s, v, i, s.now + now)
        if leads:
            s.idles[v, i - k] = idle
        if idle and i > k and s.halts[v]:
            break
        code = code_of(s, v, i)
        write = code >> WRITE_BIT
        level = level_through(s, v, code & GFN, write)
        if level == 0:
            break
        if leads:
            lead = idle + (think_before(s, v, i) if i > k else s.think_left[v])
        if now + lead >= until:
            break
        now += lead
        hit = hit_ns(s, v, first + i, write, i - k)
        walk = walk_ns(s, v, first + i) if level == 1 else 0
        now += hit + walk
        s.ends[v, i - k], s.hits[v, i - k], s.walks[v, i - k] = now, hit, walk
        s.logs[v, i - k] = -1
        i += 1
    if leads and i == k:
        now = s.idles[v, 0] + s.think_left[v]
    elif leads and i == last:
        s.idles[v, i - k] = 0
    s.count[v], s.total_ns[v] = i - k, now
    goes_on: bool = now > 0
    return goes_on
