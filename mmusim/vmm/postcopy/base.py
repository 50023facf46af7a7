"""What a way of post-copy is: how the source answers the requests of the destination."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mmusim.vmm.qemu import Qemu
from mmusim.vmm.rule import LARGEST_ANSWER, TEXT, Answer, Rule, number, whole


class Postcopy(Rule):
    """How the source sends the pages that are missing, requested ones and others.

    A requested page is always sent before any other. A way says what lies ahead of it on its
    channel, and where the source goes on. It is a pure function of what it is given: it never
    waits, draws nothing and keeps nothing. Its fields are its parameters, as a file has them.
    Subclass with ``name="kebab-case"`` and a field ``rule: Literal["kebab-case"]`` to register it.
    """

    kind: ClassVar[str] = "post-copy"
    key: ClassVar[str] = "postcopy"
    answers: ClassVar[Mapping[str, Answer]] = {
        "ahead": number(0, LARGEST_ANSWER, "a number of bytes, 0 or more"),
        "goes_on": whole(0, "the number of a page"),
        "beyond": TEXT,
    }
    _registry: ClassVar[dict[str, type[Postcopy]]] = {}

    def ahead(self, socket_buffer: int) -> int:
        """Return how many bytes of other pages a requested page must wait for in the socket.

        `socket_buffer` is what the socket of the main channel holds, in bytes.
        """
        return socket_buffer

    def goes_on(self, page: int, cursor: int, qemu: Qemu) -> int:
        """Return from which page on the source looks for the next one that nobody requested.

        `page` was requested and has just been sent; `cursor` is where the source was before. Both
        are offsets in the memory. The source goes around at the end of the memory.
        """
        del cursor, qemu
        return page + 1

    def beyond(self, qemu: Qemu) -> str:
        """Return why a release of QEMU does not have this way; or nothing."""
        return "" if qemu.has_postcopy() else "came in QEMU 2.5"


def postcopies() -> dict[str, type[Postcopy]]:
    """Return every registered way of post-copy by name."""
    return dict(sorted(Postcopy._registry.items()))
