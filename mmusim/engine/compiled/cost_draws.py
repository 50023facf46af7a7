"""Costs of a vCPU by index: the numbers of :mod:`mmusim.costs.random_streams`, one at a time."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from mmusim.costs.distributions import CELLS, OCTAVES
from mmusim.costs.machine import OWN_WORK
from mmusim.costs.random_streams import GOLDEN, is_counted
from mmusim.engine.compiled.fields import T_THINK
from mmusim.engine.compiled.jit import inlined, jit
from mmusim.engine.compiled.machine_load import hit as on_machine
from mmusim.engine.compiled.machine_load import work
from mmusim.engine.compiled.recent_exits import look_up
from mmusim.vocabulary.costs import COSTS
from mmusim.vocabulary.guest_costs import T_HIT_2M, T_WALK_4K, T_WRITE

_IS_COUNTED: Final = np.array([is_counted(name) for name in COSTS])
_IS_OWN_WORK: Final = np.array([name in OWN_WORK for name in COSTS])
_GOLDEN: Final = np.uint64(GOLDEN)
_A: Final = np.uint64(0xBF58476D1CE4E5B9)
_B: Final = np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31, _S63 = (np.uint64(n) for n in (11, 27, 30, 31, 63))
_ONE: Final = np.uint64(1)
_LOW63: Final = np.uint64((1 << 63) - 1)
_LOW45: Final = np.int64((1 << 45) - 1)
_FIRST_CELL: Final = np.int64((1023 + 63 - OCTAVES) << 7)
_LAST_CELL: Final = np.int64(OCTAVES * CELLS - 1)


@inlined
def _step(index: int) -> Any:
    """Return where draw `index` of any stream is, from the stream's key on."""
    return (np.uint64(index) + _ONE) * _GOLDEN


@inlined
def _rounded(value: float, step: Any) -> int:
    """Round a time up or down, as the step says."""
    dither = np.float64(np.int64(step >> _S11)) * 2.0**-53
    return np.int64(value + dither)  # no time is negative: the same as rounding down


@inlined
def _quantile(quantiles: Any, z: Any) -> float:
    """Return the time of a distribution at a place of its stream; without a branch."""
    z = (z ^ (z >> _S30)) * _A
    z = (z ^ (z >> _S27)) * _B
    z = z ^ (z >> _S31)
    tail = np.float64(np.int64(z & _LOW63)) + 1.0
    bits = np.float64(tail).view(np.int64)
    cell = (bits >> 45) - _FIRST_CELL
    part = np.float64(bits & _LOW45) * 2.0**-45
    part = 0.0 if cell < 0 else part
    part = 1.0 if cell > _LAST_CELL else part
    cell = min(max(cell, np.int64(0)), _LAST_CELL)
    upper = np.int64(z >> _S63)
    start = quantiles[upper, cell]
    found: float = start + part * (quantiles[upper, cell + 1] - start)
    return found


@jit
def drawn(quantiles: Any, constant: float, key: int, index: int) -> int:
    """Return cost `index` of the stream with this key, in ns.

    `quantiles` are the nodes of its distribution, shape (tails, nodes), unless `constant` is a
    number.
    """
    step = _step(index)
    value = constant
    if math.isnan(constant):
        value = _quantile(quantiles, np.uint64(key) + step)
    return _rounded(value, step)


@jit
def draw_many(s: Any, out: Any, at: int, n: int, shape: int, key: int, first: int) -> None:
    """Write `n` costs in ns from index `first` on into `out`, from element `at` on.

    `shape` is the number of their distribution, `key` that of their stream.
    """
    constant = s.constants[shape]
    if math.isnan(constant):
        quantiles = s.quantiles[shape]
        for i in range(n):
            step = _step(first + i)
            out[at + i] = _rounded(_quantile(quantiles, np.uint64(key) + step), step)
    else:
        for i in range(n):
            out[at + i] = _rounded(constant, _step(first + i))


@jit
def of_shape(s: Any, shape: int, key: int, index: int) -> int:
    """Return cost `index`, in ns, of the stream `key` of distribution number `shape`."""
    return drawn(s.quantiles[shape], s.constants[shape], key, index)


@jit
def cost(s: Any, v: int, stream: int, index: int) -> int:
    """Return what a vCPU pays from a stream, in ns; where pairing counts payments, this one is
    counted.
    """
    is_interference = stream > T_THINK
    if s.by_occurrence and (is_interference or _IS_COUNTED[stream]):
        index = s.paid[stream]
        s.paid[stream] = index + 1
    ns = of_shape(s, s.shape[v, stream], s.keys[v, stream], index)
    return work(s, ns) if not is_interference and _IS_OWN_WORK[stream] else ns


@jit
def hit_ns(s: Any, v: int, index: int, write: int, ahead: int) -> int:
    """Return what access `index` takes through a 2 MiB mapping; at least 1 ns.

    It comes `ahead` after the next, and no exit precedes it.
    """
    look_up(s, v, ahead)
    hit = max(1, of_shape(s, s.hit_shape[v], s.keys[v, T_HIT_2M], index))
    if write and s.writes_cost:
        hit += of_shape(s, s.shape[v, T_WRITE], s.keys[v, T_WRITE], index)
    return on_machine(s, v, hit, write)


@jit
def walk_ns(s: Any, v: int, index: int) -> int:
    """Return the extra time, in ns, of access `index` through a 4 KiB mapping; `hit_ns` comes
    first.
    """
    return work(s, of_shape(s, s.walk_shape[v], s.keys[v, T_WALK_4K], index))
