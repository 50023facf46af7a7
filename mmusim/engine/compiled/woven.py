"""The woven procedures as functions that Numba compiles, and what their text names.

Each takes the run's memory, the vCPU, what the process takes and the place to go back to, and
returns the place to go on at.
"""

from __future__ import annotations

import linecache
from typing import Any, Final

from mmusim.engine.compiled.chance import cost
from mmusim.engine.compiled.events import spend
from mmusim.engine.compiled.fields import PURPOSES
from mmusim.engine.compiled.guest_mode import (
    flushes_tlb,
    in_guest_again,
    left_guest,
    log_drained,
    walk_again,
)
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.kicks import (
    acknowledge,
    answered,
    await_answer,
    forget_taken,
    kick_for,
)
from mmusim.engine.compiled.machine_load import runs
from mmusim.engine.compiled.recording import book, spend_on, whole
from mmusim.engine.compiled.weaving import WOVEN

_FUNCTIONS: Final = (
    jit, acknowledge, answered, await_answer, book, cost, flushes_tlb, forget_taken, in_guest_again,
    kick_for, left_guest, log_drained, runs, spend, spend_on, walk_again, whole,
)  # fmt: skip
_FILE: Final = "<woven processes>"


def _defined() -> dict[str, Any]:
    names: dict[str, Any] = {function.__name__: function for function in _FUNCTIONS}
    names |= {cost.upper(): number for number, cost in enumerate(PURPOSES)}
    names |= WOVEN.constants
    lines = WOVEN.source.splitlines(keepends=True)
    linecache.cache[_FILE] = len(WOVEN.source), None, lines, _FILE  # for messages of Numba
    exec(compile(WOVEN.source, _FILE, "exec"), names)
    return names


_names = _defined()
enter_guest, answer_kick, drain_pml, pml_full, flush_remote, go_on_woven = (
    _names[name] for name in (*WOVEN.begins, "go_on_woven")
)
