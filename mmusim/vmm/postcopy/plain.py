"""Post-copy on one channel."""

from __future__ import annotations

from typing import Annotated, Literal

from mmusim.base.quantities import shown
from mmusim.vmm.postcopy.base import Postcopy


class Plain(Postcopy, name="plain"):
    """Requested pages go over the main channel, behind what its socket holds already.

    The source then goes on behind the requested page, because neighbours are likely to follow.

    Source: QEMU `ram_save_queue_pages`, `get_queued_page`; `domain` K.2 Q28.
    """

    rule: Annotated[Literal["plain"], shown("plain")] = "plain"
    """Name of the way."""
