"""The part of the guest's memory still to send: QEMU's RAM block and its bitmaps.

Sources: QEMU ``migration_bitmap_find_dirty``, ``migration_clear_memory_region_dirty_bitmap``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmusim.base.units import PAGE
from mmusim.costs.random_streams import Ints, uniforms
from mmusim.engine.host.destination import copy_to_destination
from mmusim.engine.host.host import MANUAL
from mmusim.engine.state.vm import Vm
from mmusim.mmu.slot import slices
from mmusim.mmu.spte import STALE
from mmusim.policies import Reporting
from mmusim.trace.records import HOST

LOOK: Final = 1 << 14
"""Number of pages that a search for dirty ones checks first."""
IS_ZERO, IS_SENT, IN_THIS_ROUND = 1, 2, 4


class Unsent:
    """The slot as a thread sees it that copies each page. Pages are offsets in the slot."""

    def __init__(self, vm: Vm, zero_pages: float) -> None:
        """Mark all pages as to be sent."""
        pages = vm.plan.slot.npages
        self.unsent = np.ones(pages, np.bool_)
        self.dirty = pages  # number of pages to send
        self.arrived = 0  # the most pages that were at the destination in their present state
        self._facts = np.zeros(pages, np.uint8)  # of each page: IS_ZERO, IS_SENT
        key = vm.plan.draws.key("zero page", HOST)
        for part in slices(pages if zero_pages else 0):
            block = self._facts[part]
            block[uniforms(key, part.start, len(block)) < zero_pages] = IS_ZERO
        self.cursor = 0

    def share(self) -> float:
        """Return the share of the memory, 0 to 1, that was at the destination in its present state.

        It is the largest share so far.
        """
        return self.arrived / len(self.unsent)

    def is_zero(self, pages: Ints) -> NDArray[np.bool_]:
        """Tell which pages are all zeros and go as a header only; shape of `pages`."""
        return np.asarray((self._facts[pages] & IS_ZERO) != 0)

    def first(self) -> int:
        """Return the next page to send, going on at 0 behind the end. There must be one."""
        found = self._search(self.cursor, len(self.unsent), 1)
        return int((found if len(found) else self._search(0, self.cursor, 1))[0])

    def following(self, first: int, most: int) -> Ints:
        """Return `first` and the pages to send after it, ascending, at most `most`, up to the
        end.
        """
        return self._search(first, len(self.unsent), most)

    def _search(self, start: int, stop: int, most: int) -> Ints:
        """Return up to `most` pages to be sent from `start` to before `stop`, ascending."""
        span = max(LOOK, most)
        while True:
            found = start + np.flatnonzero(self.unsent[start : min(start + span, stop)])
            if len(found) >= most or start + span >= stop:
                return found[:most]
            span *= 4

    def sent(self, pages: Ints) -> None:
        """Record that `pages`, ascending and at least one, were sent. The next one lies behind
        them.
        """
        self.unsent[pages] = False
        self._facts[pages] = IS_SENT | IN_THIS_ROUND
        self.dirty -= len(pages)
        self.arrived = max(self.arrived, len(self.unsent) - self.dirty)
        self.cursor = int(pages[-1]) + 1


class RamBlock(Unsent):
    """The slot as the migration thread sees it: what the log reports is to be sent again."""

    def __init__(self, vm: Vm, clear_chunk: int, zero_pages: float) -> None:
        """Mark all pages as to be sent, because the destination has nothing."""
        super().__init__(vm, zero_pages)
        pages = len(self.unsent)
        self._vm = vm
        vm.table.page[vm.plan.slot.pages] |= np.uint8(STALE)
        vm.unsent = np.stack([self.unsent, np.zeros(pages, np.bool_)])
        self.unsent, self._reported = vm.unsent
        """Pages to send; and those that the log has reported since they were merged last."""
        self.chunk = min(clear_chunk // PAGE, pages)
        self.uncleared = np.zeros(-(-pages // self.chunk), np.bool_)  # chunks, since the last sync
        self._ahead: NDArray[np.bool_] | None = None
        """Pages that were noted while they were still to be sent in this pass."""

    def synced(self, more: NDArray[np.bool_] | None = None) -> int:
        """Merge what the log reported, and `more`, into the pages to send; return how many it adds.

        `more` has shape (pages,). The caller holds bitmap_mutex, so nobody sends meanwhile. With
        manual protect the log is cleared later, a chunk before its first page is sent.
        """
        before, self.dirty = self.dirty, 0
        for part in slices(len(self.unsent)):
            self.unsent[part] |= self._reported[part]
            self._reported[part] = False
            if more is not None:
                self.unsent[part] |= more[part]
            self.dirty += int(np.count_nonzero(self.unsent[part]))
        self.uncleared[:] = self._vm.plan.choices.reporting in MANUAL
        self._ahead = None
        return self.dirty - before

    def noted(self, more: NDArray[np.bool_] | None = None) -> int:
        """Keep what the log reported, and `more`, for the pass after this one; return how many of
        these pages are not to be sent in this one.

        RAMBLOCK_SYN_MODERN_BACKGROUND of the posting: `_reported` is its iter_bmap, and `_ahead`
        its shadow_bmap. The caller holds bitmap_mutex.
        """
        later, ahead = 0, np.zeros(len(self.unsent), np.bool_)
        for part in slices(len(self.unsent)):
            if more is not None:
                self._reported[part] |= more[part]
            ahead[part] = self._reported[part] & self.unsent[part]
            later += int(np.count_nonzero(self._reported[part] & ~self.unsent[part]))
        self.uncleared[:] = self._vm.plan.choices.reporting in MANUAL
        self._ahead = ahead
        return later

    def forget_sent(self) -> None:
        """Before the log is read: forget of noted pages those that this pass has sent since.

        Full rings may have reported such a page again, so with rings it is sent once more.
        """
        if self._ahead is not None and self._vm.plan.choices.reporting is not Reporting.DIRTY_RING:
            for part in slices(len(self.unsent)):
                self._reported[part] &= self.unsent[part] | ~self._ahead[part]

    def following(self, first: int, most: int) -> Ints:
        """Return `first` and the pages to send after it, at most `most` pages.

        The pages do not reach beyond the end of the block, nor into a chunk that is not cleared
        yet.
        """
        later = self.uncleared[first // self.chunk + 1 :]
        chunks = int(np.argmax(later)) if later.any() else len(later)
        end = min((first // self.chunk + 1 + chunks) * self.chunk, len(self.unsent))
        return self._search(first, end, most)

    def ranges(self) -> int:
        """Return the number of ranges of neighbouring pages that are still to be sent."""
        begins = self.unsent[1:] & ~self.unsent[:-1]
        return int(self.unsent[0]) + int(np.count_nonzero(begins))

    @property
    def distinct(self) -> int:
        """Pages that were sent at least once."""
        return int(np.count_nonzero(self._facts & IS_SENT))

    def next_round(self) -> int:
        """End a round; return how many pages were sent in it and are to be sent again."""
        again = 0
        for part in slices(len(self.unsent)):
            facts = self._facts[part]
            again += int(np.count_nonzero(facts[self.unsent[part]] & IN_THIS_ROUND))
            facts &= np.uint8(0xFF ^ IN_THIS_ROUND)
        return again

    def sent(self, pages: Ints) -> None:
        """Record that the destination received the pages in their present state. The next page lies
        behind them.
        """
        super().sent(pages)
        assert self.dirty >= 0, "a page was sent that no sync has counted"
        copy_to_destination(self._vm, self._vm.plan.slot.base_gfn + pages)
