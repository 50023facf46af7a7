"""How many pages a program uses, or writes, within a window of time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def mean_working_set(
    page: Ints, at: Ints, span: int, windows: Sequence[int]
) -> NDArray[np.float64]:
    """Return the mean number of distinct pages within windows of each length.

    The working set W(t, T) of Denning (CACM 1968): the pages referenced in (t - T, t]. A reference
    at time a keeps its page in it from a to a + min(T, time until the next reference of that
    page), so the mean over all t from T to `span` is exact, and needs one sort for all windows.
    With only the writes it is the writable working set of Clark et al. (NSDI 2005), which bounds
    what a round of pre-copy has to send again.

    Parameters
    ----------
    page, at : arrays, shape (references,)
        Pages and times, in any unit, ascending.
    span : int
        Total time, more than the last reference.
    windows : sequence of int, 1 to `span`
        Window lengths in that unit.
    """
    order = np.argsort(page, kind="stable")
    after = np.full(len(page), span, np.int64)  # when the page is referenced again, or the end
    same = page[order[1:]] == page[order[:-1]]
    after[order[:-1][same]] = at[order[1:][same]]
    means = []
    for window in windows:
        held = np.minimum(np.minimum(at + window, after), span) - np.maximum(at, window - 1)
        means.append(np.maximum(held, 0).sum() / (span - window + 1))
    return np.array(means)
