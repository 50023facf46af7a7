"""What a way of taking a snapshot is: whether the guest runs on, and the order of the pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mmusim.vmm.qemu import Qemu
from mmusim.vmm.rule import TEXT, Answer, Rule, whole


class SnapshotWay(Rule):
    """Whether the guest runs while its memory is copied, and how the copying thread goes on.

    A page that a vCPU waits for is always copied before any other. A way is a pure function of what
    it is given: it never waits, draws nothing and keeps nothing. Its fields are its parameters, as
    a file has them. Subclass with ``name="kebab-case"`` and a field ``rule:
    Literal["kebab-case"]`` to register it.
    """

    kind: ClassVar[str] = "way of taking a snapshot"
    key: ClassVar[str] = "way"
    table: ClassVar[str] = "driver.phases"
    answers: ClassVar[Mapping[str, Answer]] = {
        "goes_on": whole(0, "the number of a page"),
        "beyond": TEXT,
    }
    _registry: ClassVar[dict[str, type[SnapshotWay]]] = {}

    runs: ClassVar[bool] = True
    """Whether the guest runs while pages are copied, on memory that is write-protected."""

    def goes_on(self, page: int, cursor: int) -> int:
        """Return from which page on the thread looks for the next one that nobody waits for.

        `page` was waited for and has just been copied; `cursor` is where the thread was before.
        Both are offsets in the memory. The thread goes around at the end of the memory.
        """
        del cursor
        return page + 1

    def beyond(self, qemu: Qemu) -> str:
        """Return why a release of QEMU does not have this way; or nothing."""
        del qemu
        return ""


def snapshot_ways() -> dict[str, type[SnapshotWay]]:
    """Return every registered way of taking a snapshot by name."""
    return dict(sorted(SnapshotWay._registry.items()))
