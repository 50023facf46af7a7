"""The mappings that a vCPU walks again after a flush: :mod:`mmusim.engine.state.tlb`, compiled."""

from __future__ import annotations

from typing import Any

from mmusim.engine.compiled.jit import compile_all, jit
from mmusim.engine.compiled.runs import GFN, code_of
from mmusim.engine.state import tlb


@jit
def _page_at(s: Any, v: int, k: int) -> int:
    """Return the page of access k of a vCPU's program."""
    return code_of(s, v, k) & GFN


_, _, _, refill = compile_all(
    tlb, "place_of", "find_again", "count_first", "refill_of", page_at=_page_at
)
