"""The control flow of the compiled engine, woven from the processes that SimPy runs: its text."""

from __future__ import annotations

from typing import Final

from mmusim.engine.compiled.places import NAMES
from mmusim.engine.compiled.words import vocabulary
from mmusim.engine.processes.guest_mode import answer_kick, drain_pml, enter_guest, pml_full
from mmusim.engine.processes.page_fault import page_fault
from mmusim.engine.weave import weave

FIRST: Final = len(NAMES)
"""Number of the first place that is woven; those below are written by hand."""
WOVEN: Final = weave(
    vocabulary(), enter_guest, answer_kick, drain_pml, pml_full, page_fault,
    name="go_on_woven", entered=True, first_place=FIRST,
)  # fmt: skip


def name_of(place: int) -> str:
    """Return the name of a place: of one that is woven, the file and line of the process."""
    return WOVEN.places[place] if place >= FIRST else NAMES[place]
