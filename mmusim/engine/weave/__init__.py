"""The weaver: a small compiler from generator processes to a state machine.

The weaver reads the text of the processes that SimPy runs. It writes functions that do the same
with an actor's row of whole numbers: each ``yield`` is a place at which the actor continues. It
knows nothing of page tables: a vocabulary gives the meaning of a process's words.

May import :mod:`mmusim.base.errors` only.
"""

from mmusim.engine.weave.emit import ENDS, FIRST_ASK
from mmusim.engine.weave.graph import Asked
from mmusim.engine.weave.vocabulary import Vocabulary, in_python, parsed
from mmusim.engine.weave.weaver import Woven, weave
from mmusim.engine.weave.written import read, written

__all__ = [
    "ENDS", "FIRST_ASK", "Asked", "Vocabulary", "Woven", "in_python", "parsed", "read", "weave",
    "written",
]  # fmt: skip
