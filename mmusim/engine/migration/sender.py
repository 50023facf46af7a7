"""Copies pages of guest memory to the channel, each chunk once its log has been cleared.

Sources: QEMU ``ram_save_host_page``, ``migration_clear_memory_region_dirty_bitmap``.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmusim.engine.host.host import Host
from mmusim.engine.host.log_reports import clear_chunk
from mmusim.engine.migration.channel import Channel, processor_ns
from mmusim.engine.migration.ram import RamBlock
from mmusim.engine.migration.sync import ThreadTimes, pause
from mmusim.engine.processes.dirty_rings import hold_slots_lock, release_slots_lock
from mmusim.engine.state.vm import Steps, Vm
from mmusim.trace.records import HOST

AT_ONCE: Final = 1 << 18
"""Number of pages that are copied to a buffer in one step, at most."""


class Sender:
    """The pages that are to be sent, on their way into the channel."""

    def __init__(
        self, vm: Vm, host: Host, ram: RamBlock, channel: Channel, times: ThreadTimes
    ) -> None:
        """Nothing is in the buffer."""
        self._vm, self._host, self._ram = vm, host, ram
        self._channel, self._times = channel, times
        self._buffer: list[NDArray[np.bool_]] = []  # of each page in it, whether it is zero

    def send_some(self, until_ns: int, room: float = math.inf) -> Steps:
        """Send the next pages; clear the log of their chunk first, if that has not been done.

        No page begins at or after `until_ns`, nor when `room` bytes are used up, but one always
        does.
        """
        first = self._ram.first()
        yield from self._clear_first(first)
        most = self._channel.most(until_ns)
        while True:
            pages = self._ram.following(first, most)
            zero = self._ram.is_zero(pages)
            ends = self._channel.ends(zero, until_ns, room)
            if len(ends) < most or len(pages) < most:
                break
            most *= 4  # zero pages are through sooner
        self._ram.sent(pages[: len(ends)])
        self._channel.count_sent(zero[: len(ends)], ends)
        yield from self._times.timed("send", pause(self._vm, int(ends[-1])))

    def _clear_first(self, page: int) -> Steps:
        chunk = page // self._ram.chunk
        if self._ram.uncleared[chunk]:
            self._ram.uncleared[chunk] = False
            clear = self._host.windows.operation("clear-dirty-log", self.clear(chunk))
            yield from self._times.timed("clear", clear)

    def clear(self, chunk: int) -> Steps:
        """Re-arm the pages of a chunk, by number, which are sent next.

        Source: migration_clear_memory_region_dirty_bitmap.
        """
        first = self._vm.plan.slot.base_gfn + chunk * self._ram.chunk
        yield from hold_slots_lock(self._vm, HOST, self._host.spent)
        yield from clear_chunk(self._vm, self._host, first, self._ram.chunk)
        release_slots_lock(self._vm, HOST)

    def buffer_some(self) -> Steps:
        """Copy the next pages, at most `AT_ONCE`, to the buffer, at the speed of the processor."""
        first = self._ram.first()
        yield from self._clear_first(first)
        pages = self._ram.following(first, AT_ONCE)
        zero = self._ram.is_zero(pages)
        page_ns, zero_ns = processor_ns(self._vm, self._vm.plan.driver.migration)
        zeros = int(np.count_nonzero(zero))
        self._ram.sent(pages)
        self._buffer.append(zero)
        ns = round((len(zero) - zeros) * page_ns + zeros * zero_ns)
        yield from self._times.timed("copy", pause(self._vm, ns))

    def send_buffer(self) -> Steps:
        """Send all that is in the buffer, and empty it."""
        left = np.concatenate([*self._buffer, np.zeros(0, np.bool_)])
        self._buffer.clear()
        while len(left):
            until = self._channel.rate_changes()
            ends = self._channel.ends(left, until)
            self._channel.count_sent(left[: len(ends)], ends)
            yield from self._times.timed("send", pause(self._vm, int(ends[-1])))
            left = left[len(ends) :]
