"""The text of the compiled engine's control flow, woven from the processes that SimPy runs.

The text is stored beside the compiled code, in the folder of this state of the source. So only the
first start weaves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mmusim.engine.code_cache import kept_text
from mmusim.engine.compiled.interference_words import of_interference
from mmusim.engine.compiled.words import vocabulary
from mmusim.engine.processes.interference import interfere
from mmusim.engine.processes.vcpu import vcpu
from mmusim.engine.state.vmm import GuestGoneError
from mmusim.engine.weave import Vocabulary, Woven, read, weave, written


def _woven(process: Callable[..., Any], words: Callable[[], Vocabulary], name: str) -> Woven:
    """Return a woven process, from the folder of compiled code if it is there."""
    kept = f"woven-{process.__name__}.txt"
    return read(kept_text(kept, lambda: written(weave(words(), process, name=name))))


WOVEN: Final = _woven(vcpu, vocabulary, "go_on")
"""The vCPUs."""
BEGINS: Final = WOVEN.begins["vcpu"]
"""The place at which a vCPU begins."""
GUEST_GONE: Final = WOVEN.escapes[GuestGoneError]
"""The place at which it goes on when its guest has gone to another host."""
INTERFERING: Final = _woven(interfere, of_interference, "interferer_goes_on")
"""What the host does to vCPUs besides; each source of each vCPU has a row."""
BEGINS_INTERFERENCE: Final = INTERFERING.begins["interfere"]
"""The place at which a source begins."""
ACTORS: Final = {"vCPU": WOVEN, "interference": INTERFERING}
"""Every kind of actor whose process is woven."""
