"""Post-copy: the guest runs at the destination and waits for missing pages.

Sources: QEMU ``postcopy_start``, ``ram_postcopy_send_discard_bitmap``, ``ram_save_queue_pages``,
``get_queued_page``; userfaultfd; ``domain`` F.9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from mmusim.base.histogram import Histogram
from mmusim.base.units import NS
from mmusim.config.migrate import Migration
from mmusim.costs.random_streams import Ints
from mmusim.engine.migration.channel import Channel
from mmusim.engine.migration.ram import RamBlock
from mmusim.engine.migration.sync import pause
from mmusim.engine.migration.transfer import Transfer, next_cursor
from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.vocabulary.causes import POSTCOPY_WAIT

RANGE_BYTES, COMMAND_BYTES = 16, 14  # a start and a length; header, version and name of the block
RANGES_A_COMMAND: Final = 12
"""MAX_DISCARDS_PER_COMMAND."""


def send_discards(
    vm: Vm, ram: RamBlock, channel: Channel, spec: Migration, stopped_ns: int
) -> Steps:
    """Name the pages that the destination must not use (ram_postcopy_send_discard_bitmap).

    The device state follows on the same channel. Both wait for the data that the socket still
    holds: it is full when the guest stops at `stopped_ns`, unless a limit keeps it empty.
    """
    full = not spec.max_bandwidth or spec.max_bandwidth >= spec.bandwidth
    in_socket = spec.socket_buffer * NS["s"] // spec.bandwidth if full else 0
    drained_ns = stopped_ns + int(in_socket)
    ranges = ram.ranges()
    commands = -(-ranges // RANGES_A_COMMAND)
    ns = channel.bytes_ns(ranges * RANGE_BYTES + commands * COMMAND_BYTES)
    yield from pause(vm, max(0, drained_ns - vm.now) + ns)


class Postcopy:
    """The missing pages, the vCPUs that wait for them, and the pages in transit."""

    def __init__(
        self, vm: Vm, ram: RamBlock, channel: Channel, spec: Migration,
        clear: Callable[[int], Steps],
    ) -> None:  # fmt: skip
        """Move the guest to the destination, which maps its memory by small pages.

        `clear` clears the log of a chunk at the source, before its first page is sent.
        """
        self._vm = vm
        self._clear = clear
        self._way = spec.postcopy_way
        ahead = self._way.ask("ahead", spec.socket_buffer)
        self._ahead_ns = ahead * NS["s"] // spec.bandwidth
        self._ram = ram
        self._channel = channel
        self._transfer = Transfer(vm, ram, channel, self._deliver)
        self.blocked = Histogram()  # how long each fault waited
        self.vcpu_blocktime = [0] * len(vm.vcpus)
        self.blocktime_ns = 0  # in which all vCPUs waited
        self._all_since = 0
        self._blocked_now = 0
        self._disallowed = vm.table.disallow_lpage, vm.table.disallow_1g
        for counts in self._disallowed:  # no large page may stand for small ones that are missing
            counts += 1
        vm.user_faults = self

    def send_the_rest(self) -> Steps:
        """Send all pages that are missing: requested ones first, then the others in order behind
        them.

        Source: ram_save_iterate in post-copy.
        """
        while self._ram.dirty:
            if self._transfer.asked:
                pages = np.array([self._transfer.asked.popleft()])
                if self._ram.unsent[pages[0]]:
                    yield from self._clear_first(int(pages[0]))
                    yield from self._send_asked(pages)
            else:
                until, first = self._channel.rate_changes(), self._ram.first()
                yield from self._clear_first(first)
                pages = self._ram.following(first, self._channel.most(until))
                yield from self._transfer.send(pages, urgent=False)
        for counts in self._disallowed:
            counts -= 1
        self._vm.user_faults = None

    def _clear_first(self, page: int) -> Steps:
        chunk = page // self._ram.chunk
        if self._ram.uncleared[chunk]:
            self._ram.uncleared[chunk] = False
            yield from self._clear(chunk)

    def _send_asked(self, pages: Ints) -> Steps:
        """Send a requested page, and go on where the way of post-copy says."""
        before = self._ram.cursor
        yield from self._transfer.send(pages, urgent=True)
        self._ram.cursor = next_cursor(
            self._way, "driver.migration.postcopy", len(self._ram.unsent),
            int(pages[0]), before, self._vm.plan.qemu,
        )  # fmt: skip

    def _deliver(self, pages: Ints) -> None:
        self._ram.sent(pages)
        self._transfer.arrived(pages)

    def _absent(self, page: int) -> bool:
        self._transfer.settle()
        return bool(self._ram.unsent[page])

    def fault(self, v: Vcpu, gfn: int, write: bool, index: int) -> Steps:
        """Get a missing page from the source: half the way, the queue, half the way.

        `v` waits for page `gfn`; `index` is that of its access, by which the way there and back is
        drawn.
        """
        del write
        page = gfn - self._vm.plan.slot.base_gfn
        if not self._absent(page):
            return
        began = self._vm.now
        self._block()
        v.waits_for = f"gfn {gfn} from the source of the migration"
        ns = v.c_postcopy_fault.at(index)
        self._vm.rests(v)
        yield self._vm.spend(ns // 2)
        if self._absent(page):
            yield self._transfer.wait_for(page)
            if self._ahead_ns:  # the socket holds unrequested pages before this one
                yield self._vm.spend(self._ahead_ns)
        yield self._vm.spend(ns - ns // 2)
        v.waits_for = ""
        self._vm.runs(v)
        self._unblock(v, began)
        self._vm.charge(v, POSTCOPY_WAIT, began, self._vm.now)

    def facts(self) -> dict[str, Any]:
        """Return the fields of a :class:`~mmusim.trace.records.MigrationTrace` that belong to
        post-copy.
        """
        return {
            "blocked": self.blocked,
            "vcpu_blocktime": tuple(self.vcpu_blocktime),
            "blocktime_ns": self.blocktime_ns,
        }

    def _block(self) -> None:
        """A vCPU begins to wait (mark_postcopy_blocktime_begin)."""
        self._blocked_now += 1
        if self._blocked_now == len(self._vm.vcpus):
            self._all_since = self._vm.now

    def _unblock(self, v: Vcpu, began_ns: int) -> None:
        """A vCPU has its page (mark_postcopy_blocktime_end)."""
        waited = self._vm.now - began_ns
        if self._blocked_now == len(self._vm.vcpus):
            self.blocktime_ns += self._vm.now - self._all_since
        self._blocked_now -= 1
        self.blocked.add([waited])
        self.vcpu_blocktime[v.number] += waited
