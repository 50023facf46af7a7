"""The control flow of the compiled engine, woven from the processes that SimPy runs: its text."""

from __future__ import annotations

from typing import Final

from mmusim.engine.compiled.words import vocabulary
from mmusim.engine.processes.vcpu import vcpu
from mmusim.engine.state.vmm import GuestGoneError
from mmusim.engine.weave import weave

WOVEN: Final = weave(vocabulary(), vcpu)
BEGINS: Final = WOVEN.begins["vcpu"]
"""The place at which a vCPU begins."""
GUEST_GONE: Final = WOVEN.escapes[GuestGoneError]
"""The place at which it goes on when its guest has gone to another host."""
