"""The weaver: a small compiler from generator processes to a state machine.

The weaver reads the text of the processes that SimPy runs. It writes functions that do the same
with an actor's row of whole numbers: each ``yield`` is a place at which the actor continues. It
knows nothing of page tables: a vocabulary gives the meaning of a process's words.
``docs/explanation/weaver.md`` explains it with examples.

Words that all modules share: a block is statements without a wait; a head is a block that begins a
function of the state machine; a place is the number at which an actor continues; a procedure is a
process or a part of one; a scope has the meaning of its names. What cannot be woven raises
:class:`~mmusim.base.errors.WeaveError` with file, line, rule and remedy.

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
