"""The control flow of the compiled engine, woven from the processes that SimPy runs: its text."""

from __future__ import annotations

from typing import Final

from mmusim.engine.compiled.interference_words import of_interference
from mmusim.engine.compiled.words import vocabulary
from mmusim.engine.processes.interference import interfere
from mmusim.engine.processes.vcpu import vcpu
from mmusim.engine.state.vmm import GuestGoneError
from mmusim.engine.weave import weave

WOVEN: Final = weave(vocabulary(), vcpu)
"""The vCPUs."""
BEGINS: Final = WOVEN.begins["vcpu"]
"""The place at which a vCPU begins."""
GUEST_GONE: Final = WOVEN.escapes[GuestGoneError]
"""The place at which it goes on when its guest has gone to another host."""
INTERFERING: Final = weave(of_interference(), interfere, name="interferer_goes_on")
"""What the host does to vCPUs besides; each source of each vCPU has a row."""
BEGINS_INTERFERENCE: Final = INTERFERING.begins["interfere"]
"""The place at which a source begins."""
ACTORS: Final = {"vCPU": WOVEN, "interference": INTERFERING}
"""Every kind of actor whose process is woven."""
