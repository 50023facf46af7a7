"""Woven processes as functions that Numba compiles, and the names in their text.

:func:`go_on` takes the run's memory, the vCPU and the place at which it continues. It returns when
the vCPU waits (`events.WAITS`) or has a request to Python. :func:`go_on_interrupted` takes the
cause of the interrupt instead of a place, and returns the next place. :func:`interferer_goes_on`
takes the row of a source of interference instead of the vCPU.
"""

from __future__ import annotations

import linecache
from typing import Any, Final

from mmusim.engine.compiled import (
    arithmetic,
    fields,
    guest_mode,
    interference,
    kicks,
    mapping,
    mechanism,
    vcpu,
)
from mmusim.engine.compiled.cost_draws import cost
from mmusim.engine.compiled.events import REPLAN, spend, spend_in_guest
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.lock import await_grant, count_readers, queues, release
from mmusim.engine.compiled.machine_load import memory_waits, runs, work
from mmusim.engine.compiled.recent_exits import count_exit
from mmusim.engine.compiled.recording import charge, spend_on, tally
from mmusim.engine.compiled.runs import cut, halts_until
from mmusim.engine.compiled.weaving import INTERFERING, WOVEN
from mmusim.engine.weave import Woven
from mmusim.vocabulary.costs import COSTS

_MODULES: Final = arithmetic, fields, guest_mode, interference, kicks, mapping, mechanism, vcpu
_FUNCTIONS: Final = (
    jit, await_grant, charge, cost, count_exit, count_readers, cut, memory_waits, halts_until,
    queues, release, runs, spend, spend_in_guest, spend_on, tally, work,
)  # fmt: skip


def _defined(woven: Woven, file: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for module in _MODULES:
        names |= vars(module)
    names["__name__"] = __name__  # a function of no module is not cached
    names |= {function.__name__: function for function in _FUNCTIONS}
    names |= {name.upper(): number for number, name in enumerate(COSTS)}
    names |= woven.constants | {"REPLAN": REPLAN}
    lines = woven.source.splitlines(keepends=True)
    linecache.cache[file] = len(woven.source), None, lines, file  # for messages of Numba
    exec(compile(woven.source, file, "exec"), names)
    return names


_names = _defined(WOVEN, "<woven vCPUs>")
interferer_goes_on = _defined(INTERFERING, "<woven interference>")["interferer_goes_on"]
go_on, go_on_interrupted = _names["go_on"], _names["go_on_interrupted"]
