"""Pages on their way: in order, until somebody asks for a page that has not been sent yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
import simpy
from numpy.typing import NDArray

from mmusim.base.errors import ConfigError
from mmusim.base.packages import source_of
from mmusim.costs.random_streams import Ints
from mmusim.engine.migration.channel import Channel
from mmusim.engine.state.vm import Steps, Vm
from mmusim.vmm.rule import Rule

NO_PAGES: Final[Ints] = np.zeros(0, np.int64)


class Zeros(Protocol):
    """Memory of which some pages are zero."""

    def is_zero(self, pages: Ints) -> NDArray[np.bool_]:
        """Tell which pages are zero and go as a header only; shape of `pages`."""


GOES_ON: Final = "goes_on"


def next_cursor(way: Rule, key: str, pages: int, *asked: object) -> int:
    """Ask a way where its thread goes on behind a requested page: a page of 0 to `pages`.

    Raises
    ------
    ConfigError
        If the answer is no such page; it names `key`, the way and its source.
    """
    cursor: int = way.ask(GOES_ON, *asked)
    if cursor > pages:
        raise ConfigError.of(
            key, f"{GOES_ON} of {way.name}", cursor,
            f"is no page of 0 to {pages}, of {source_of(getattr(type(way), GOES_ON))}",
            "correct the rule, or choose another",
        )  # fmt: skip
    return cursor


class Transfer:
    """The pages in transit, those that were asked for, and who waits for them."""

    def __init__(
        self, vm: Vm, ram: Zeros, channel: Channel, deliver: Callable[[Ints], None]
    ) -> None:
        """Nothing is in transit. `deliver` is called with pages that have arrived, in order."""
        self._vm, self._ram, self._channel, self._deliver = vm, ram, channel, deliver
        self.asked: deque[int] = deque()  # pages that vCPUs wait for
        self._waiting: dict[int, simpy.Event] = {}  # page -> its arrival
        self._interrupted = vm.env.event()  # set while unrequested pages are sent
        self._flight: tuple[Ints, NDArray[np.int64]] = NO_PAGES, NO_PAGES  # pages, when they arrive

    def wait_for(self, page: int) -> simpy.Event:
        """Request a page, unless that was done already; return the event of its arrival."""
        if page not in self._waiting:
            self._waiting[page] = self._vm.env.event()
            self.asked.append(page)
            self.interrupt()
        return self._waiting[page]

    def interrupt(self) -> None:
        """Let the sending of unrequested pages stop behind the page in transit."""
        if not self._interrupted.triggered:
            self._interrupted.succeed()

    def arrived(self, pages: Ints) -> None:
        """Wake those that wait for one of these pages."""
        for page in set(self._waiting).intersection(pages.tolist()):
            self._waiting.pop(page).succeed()

    @property
    def in_transit(self) -> Ints:
        """Return the pages that have not arrived yet, in order."""
        return self._flight[0]

    def send(self, pages: Ints, *, urgent: bool) -> Steps:
        """Send pages, ascending; a request stops unrequested ones behind the page in transit.

        `urgent` pages are requested ones: nothing stops them.
        """
        zero = self._ram.is_zero(pages)
        ends = self._channel.ends(zero, self._channel.rate_changes())
        at = self._vm.now + ends.astype(np.int64)
        self._flight = pages[: len(ends)], at
        if urgent:
            yield self._vm.spend(int(at[-1]) - self._vm.now)
        else:
            self._interrupted = self._vm.env.event()
            yield self._vm.env.any_of(
                [self._vm.spend(int(at[-1]) - self._vm.now), self._interrupted]
            )
        on_its_way = int(at[np.searchsorted(at, self._vm.now)])
        if on_its_way > self._vm.now:
            yield self._vm.spend(on_its_way - self._vm.now)
        count = int(np.searchsorted(at, self._vm.now, side="right"))
        self.settle()
        self._flight = NO_PAGES, NO_PAGES
        self._channel.count_sent(zero[:count], ends[:count])

    def settle(self) -> None:
        """Deliver the pages that have arrived by now."""
        pages, at = self._flight
        count = int(np.searchsorted(at, self._vm.now, side="right"))
        if count:
            self._flight = pages[count:], at[count:]
            self._deliver(pages[:count])
