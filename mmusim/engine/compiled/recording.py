"""The records of a run: the ledger, histograms, stalls and their worst windows, the trajectory.

The sums are those of :mod:`mmusim.base.histogram` and :mod:`mmusim.trace.stall_windows`, one
number at a time.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from mmusim.base.histogram import BITS
from mmusim.engine.compiled.events import spend
from mmusim.engine.compiled.fields import LOCK_HISTOGRAMS, STALLS
from mmusim.engine.compiled.jit import compile_all, jit
from mmusim.engine.compiled.probe_rows import tell_charged
from mmusim.engine.state import charges
from mmusim.trace import stall_windows

_SHIFT: Final = 52 - BITS
_BASE: Final = (1023 + BITS) << BITS

_, _, look_at_windows, look_at_last_windows, keep_stall = compile_all(
    stall_windows, "begun_by", "look_at_few", "look_at_windows", "look_at_last_windows",
    "keep_stall",
    WINDOWS=np.array(stall_windows.WINDOWS),
)  # fmt: skip


@jit
def _ledger_of(s: Any, recorder: int) -> Any:
    """Return a recorder's ledger, time by cause."""
    return s.ledger[recorder]


pay_owed, part_with = compile_all(charges, "pay_owed", "part_with", ledger_of=_ledger_of)


@jit
def charge(s: Any, v: int, cause: int, ns: int) -> None:
    """Charge time of a vCPU, as :meth:`mmusim.engine.state.virtual_cpu.Vcpu.charge` does."""
    if s.has_probe:
        tell_charged(s, v, cause, ns)
    s.ledger[s.recorder[v], cause] += ns
    s.charged_ns[v] += ns
    s.cause_before[v] = s.last_cause[v]
    s.last_cause[v], s.last_ns[v] = cause, ns
    if s.owed_n[v]:
        s.owed_n[v] = pay_owed(s, s.owed[v], s.owed_n[v], s.recorder[v], cause, ns)


@jit
def spend_on(s: Any, v: int, cause: int, ns: int) -> int:
    """Let time pass in the host and charge it."""
    charge(s, v, cause, ns)
    return spend(s, v, ns)


@jit
def recorder_at(s: Any, v: int, ns: int) -> int:
    """Return the number of the recorder of what began at `ns` in a vCPU's phase."""
    number = s.recorder[v]
    while ns < s.since[number]:
        number -= 1
    return number


@jit
def histogram_of(recorder: int, histogram: int) -> int:
    """Return the number of a histogram of a recorder."""
    return LOCK_HISTOGRAMS + 4 * recorder + histogram


@jit
def parts_with(s: Any, v: int, recorder: int, spent_ns: int, log: int, walk: int, hit: int) -> None:
    """Divide a run, charged to `recorder`, at the edges of windows."""
    part_with(s, s.owed[v], s.owed_n[v], recorder, s.recorder[v], spent_ns, log, walk, hit)
    s.owed_n[v] = 0


@jit
def bin_of(ns: int) -> int:
    """Return the bin of a time."""
    return (np.float64(ns + (1 << BITS)).view(np.int64) >> _SHIFT) - _BASE


@jit
def sum_up(s: Any, histogram: int, count: int, total: int, least: int, most: int) -> None:
    """Add to what a histogram knows exactly; the times are in its bins already."""
    if count == 0:
        return
    exact = s.exact
    if exact[histogram, 0] == 0 or least < exact[histogram, 2]:
        exact[histogram, 2] = least
    exact[histogram, 0] += count
    exact[histogram, 1] += total
    exact[histogram, 3] = max(exact[histogram, 3], most)


@jit
def tally(s: Any, histogram: int, ns: int) -> None:
    """Add a time to a histogram."""
    s.bins[histogram, bin_of(ns)] += 1
    sum_up(s, histogram, 1, ns, ns, ns)


@jit
def note(s: Any, number: int) -> None:
    """Append a number to the trajectory; there is room, see `loop.advance`."""
    s.prints[s.print_n] = number
    s.print_n += 1


@jit
def look_at_stalls(s: Any, v: int, now: int) -> int:
    """Look at every window up to `now`; return how many stalls are kept."""
    left = look_at_windows(
        s.stall_from[v], s.stall_to[v], s.stall_before[v], s.worst[v], s.stall_n[v],
        s.stall_kept[v], s.stall_begin[v], s.stall_seen[v], now,
    )  # fmt: skip
    s.stall_seen[v] = now
    s.stall_n[v] = s.stall_kept[v] = left
    return left


@jit
def stalled(s: Any, v: int, from_ns: int, to_ns: int) -> None:
    """A stall of a vCPU has ended."""
    if from_ns == to_ns:
        return
    tally(s, histogram_of(recorder_at(s, v, from_ns), STALLS), to_ns - from_ns)
    if to_ns > s.stall_begin[v]:
        _keep(s, v, max(from_ns, s.stall_begin[v]), to_ns)


@jit
def cut_stalls(s: Any, v: int) -> None:
    """An edge of a window: look at the windows up to now; a stall may be open."""
    since = max(s.left_ns[v], s.stall_begin[v])
    if not s.in_guest[v] and not s.halted[v] and since < s.now:
        _keep(s, v, since, s.now)
    last_window(s, v, s.now)


@jit
def _keep(s: Any, v: int, from_ns: int, to_ns: int) -> None:
    """Keep a stall for the windows that end behind it."""
    n = s.stall_n[v]
    keep_stall(s.stall_from[v], s.stall_to[v], s.stall_before[v], n, from_ns, to_ns)
    s.stall_n[v] = n + 1
    room = s.stall_from.shape[1]
    if n + 1 == room and look_at_stalls(s, v, to_ns) > room // 2:
        s.stalls_full = 1


@jit
def last_window(s: Any, v: int, now: int) -> None:
    """Look at the windows that end with the vCPU's time."""
    n = look_at_stalls(s, v, now)
    look_at_last_windows(s.stall_from[v], s.stall_to[v], s.worst[v], n, s.stall_begin[v], now)
