"""What an access pattern is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Uniforms = Callable[[str, int, int], NDArray[np.float64]]
"""(purpose, first index, count) -> numbers in (0, 1), functions of their index."""


class Requests(NamedTuple):
    """The request of each access, for guests that serve requests as they arrive."""

    due: NDArray[np.int64]  # (accesses,) when its request arrives, ns from the start; ascending
    last: NDArray[np.bool_]  # (accesses,) it completes its request
    halts: bool = False  # the guest leaves guest mode until the next one arrives


class Accesses(NamedTuple):
    """The program of one vCPU in one phase."""

    gfn: NDArray[np.int64]  # (accesses,)
    write: NDArray[np.bool_]  # (accesses,)
    think: NDArray[np.int64] | None = None  # (accesses,) guest work before each, ns
    requests: Requests | None = None
    in_a_row: bool = False  # each page follows the one before, and all are reads or all writes


class Pattern(Protocol):
    """A workload of one vCPU: a frozen value."""

    def length(self, pages: int) -> int:
        """Return the number of accesses of a vCPU that owns `pages` pages of 4 KiB."""

    def accesses(self, base_gfn: int, pages: int, uniforms: Uniforms) -> Accesses:
        """Return the accesses of a vCPU that owns `pages` pages from `base_gfn`.

        They have shape (:meth:`length` of `pages`,). Random numbers come from `uniforms` only:
        called with a purpose, a first index and a count, it gives as many numbers in (0, 1).
        """
