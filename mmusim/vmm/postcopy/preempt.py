"""Post-copy with a channel of its own for requested pages."""

from __future__ import annotations

from typing import Annotated, Literal

from mmusim.base.quantities import shown
from mmusim.vmm.postcopy.base import Postcopy
from mmusim.vmm.qemu import Qemu


class Preempt(Postcopy, name="preempt"):
    """Requested pages have a channel of their own, on which nothing lies ahead of them.

    Until QEMU 10.0 the source goes on where it was; since 10.1 behind the requested page.

    Source: QEMU `postcopy-preempt` (ce5b0f4afc), `ram_page_hint_update` (20d8262281); `domain` K.2
    Q29.
    """

    rule: Annotated[Literal["preempt"], shown("preempt")] = "preempt"
    """Name of the way."""

    def ahead(self, socket_buffer: int) -> int:
        """Return 0."""
        del socket_buffer
        return 0

    def goes_on(self, page: int, cursor: int, qemu: Qemu) -> int:
        """Return the page behind the requested one, or where the source was, by release."""
        return page + 1 if qemu.jumps_after_request() else cursor

    def beyond(self, qemu: Qemu) -> str:
        """Say that it came in 7.1."""
        return "" if qemu.has_preempt() else "came in QEMU 7.1"
