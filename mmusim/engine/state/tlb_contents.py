"""The contents of a vCPU's TLB while revoked rights wait for their flush.

The contents matter only in this time. A translation that the TLB still holds keeps its old rights.
If the translation fell out, the vCPU walks again and meets the entry as it is then. So the engine
does not track the contents at other times. When the first right is revoked, the contents are the
translations used last since the last flush. From then on the engine tracks each use.

Time is divided into epochs: each revocation begins one. A translation has its old rights if it
was filled in an earlier epoch than the one in which its entry was revoked.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import Any, Final

from mmusim.mmu.page_table import PageTable, hit_level
from mmusim.mmu.spte import LEVEL_1G, PRESENT, TLB_READ, TLB_WRITE

AHEAD: Final = 256
"""Accesses that are planned at once while rights wait for their flush."""
LOOK_BACK: Final = 16
"""Accesses that are examined for each entry, to find the translations used last."""
LONG_AGO: Final = -1
"""Epoch of translations filled before any right was revoked."""
KEPT: Final = -2
"""In place of an epoch: the access uses the translation with its rights."""
SHIFT: Final = (0, 0, 9, 18)  # by level, from a page to what maps it


def key_of(gfn: int, level: int) -> int:
    """Return the key of the translation of a page at `level` 1 to 3."""
    return gfn >> SHIFT[level] << 2 | level


class TlbContents:
    """The translations of one vCPU's TLB by level, each with its epoch, in the order of use."""

    def __init__(self, reach: tuple[int, int, int]) -> None:
        """Start empty."""
        self._reach = (0, *reach)
        self._held: tuple[dict[int, int], ...] = ({}, {}, {}, {})
        self._ahead: tuple[dict[int, int], ...] = self._held
        self._uses: list[tuple[int, int]] = []  # key and epoch of the planned uses, or KEPT
        self.live = False  # it is being followed
        self.flushed_at = 0  # accesses of the vCPU when it flushed last

    def forget(self, accesses: int) -> None:
        """Note that the vCPU flushed its TLB after so many accesses since the start of the run."""
        self.live = False
        self.flushed_at = accesses

    def begin_plan(self, t: PageTable, made: tuple[Any, Any], accesses: int) -> None:
        """Begin a plan at the vCPU's position, after so many accesses since the start of the run.

        `made` are the gfns of its accesses in this program, and of those in the one before.
        """
        if not self.live:
            self._rebuild(t, made, accesses - self.flushed_at)
            self.live = True
        self._ahead = tuple(dict(held) for held in self._held)
        self._uses.clear()

    def _rebuild(self, t: PageTable, made: tuple[Any, Any], known: int) -> None:
        """Find the translations used since the last flush, `known` accesses ago, in order."""
        found: tuple[dict[int, int], ...] = ({}, {}, {}, {})
        most = min(known, LOOK_BACK * max(self._reach))
        for gfn in islice(chain(reversed(made[0]), reversed(made[1])), most):
            level = level_before(t, gfn)
            if level and len(found[level]) < self._reach[level]:
                found[level].setdefault(key_of(gfn, level), LONG_AGO)
        self._held = tuple(dict(reversed(keys.items())) for keys in found)

    def level(self, t: PageTable, revoked: Any, epoch: int, gfn: int, write: bool) -> int:
        """Return the level of the translation that the next access uses at once, 1 to 3, or 0.

        `revoked` has the epoch in which entries of a region were revoked last, shape (regions,);
        `epoch` is the present one.
        """
        stale = TLB_WRITE if write else TLB_READ
        entries = (LEVEL_1G, t.giant[gfn >> 18]), (2, t.region[gfn >> 9]), (1, t.page[gfn])
        for level, entry in entries:
            if entry & stale:
                key = key_of(gfn, level)
                if self._ahead[level].get(key, epoch) < revoked[gfn >> 9]:
                    self.use(key, KEPT)
                    return level
        level = hit_level(t, gfn, write, False)
        if level:
            self.use(key_of(gfn, level), epoch)
        return level

    def use(self, key: int, epoch: int) -> None:
        """Plan a use of the translation `key`: with its rights (KEPT), or after a walk in an
        epoch.
        """
        self._uses.append((key, epoch))
        self._touch(self._ahead[key & 3], key, epoch)

    def _touch(self, held: dict[int, int], key: int, epoch: int) -> None:
        had = held.pop(key, epoch)
        held[key] = had if epoch == KEPT else epoch
        if len(held) > self._reach[key & 3]:
            del held[next(iter(held))]

    def commit(self, done: int) -> None:
        """Commit the first `done` planned uses and drop the others."""
        if done == len(self._uses):
            self._held = self._ahead
        else:
            for key, epoch in self._uses[:done]:
                self._touch(self._held[key & 3], key, epoch)
        self._uses.clear()


def level_before(t: PageTable, gfn: int) -> int:
    """Return the level at which a page is mapped, or was before a flush that is still owed;
    or 0.
    """
    held = PRESENT | TLB_READ | TLB_WRITE
    if t.giant[gfn >> 18] & held:
        return LEVEL_1G
    if t.region[gfn >> 9] & held:
        return 2
    return 1 if t.page[gfn] & held else 0
