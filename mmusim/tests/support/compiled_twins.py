"""Data algorithms of compiled code, called for a test, in a process of their own.

``python -m mmusim.tests.support.compiled_twins FILE`` reads calls from FILE and writes what each
gives to FILE, too: an ``npz`` with an array for each. The process is its own because Numba cannot
link a function with the engine if that was compiled in the same process
(:mod:`mmusim.engine.compiled.joint_compilation`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmusim.costs.distributions import Constant, Distribution, Gamma, Lognormal

SHAPES: tuple[Distribution, ...] = (Lognormal(23.0, 0.6), Gamma(15.0, 1.0), Constant(43.5))


def _compiled() -> tuple[Any, Any]:
    """Return functions (memory, shape, key, first, count) and (memory, count) of compiled code."""
    import numba

    from mmusim.engine.compiled import memory as memory_of_runs
    from mmusim.engine.compiled.cost_draws import draw_many, of_shape
    from mmusim.engine.compiled.recording import bin_of

    as_state: Any = memory_of_runs.as_state

    def draw(address: int, shape: int, key: int, first: int, count: int) -> None:
        s = as_state(address)
        draw_many(s, s.stall_from[0], 1, count, shape, key, first)
        for i in range(count):
            s.stall_to[0, 1 + i] = of_shape(s, shape, key, first + i)

    def bins(address: int, count: int) -> None:
        s = as_state(address)
        for i in range(count):
            s.stall_before[0, i] = bin_of(s.stall_from[0, i])

    def compile_as(signature: str) -> Any:
        return numba.njit(signature, _nrt=False, error_model="numpy")

    draws = compile_as("void(int64, int64, uint64, int64, int64)")(draw)
    return draws, compile_as("void(int64, int64)")(bins)


def _memory(room: int) -> Any:
    """Return a run's memory that knows the distributions; rows of stalls may have any length."""
    from mmusim.engine.compiled.memory import Memory
    from mmusim.engine.compiled.shapes import Shapes

    made = Memory(1)
    shapes = Shapes(made)
    for shape in SHAPES:
        shapes.number(shape)
    for name in ("stall_from", "stall_to", "stall_before"):
        made.put(name, np.zeros((1, room), np.int64))
    return made


def main(file: Path) -> None:
    """Make the calls of a file: `draws`, rows (shape, key, first, count), and `times` in ns."""
    with np.load(file) as asked:
        draws: NDArray[np.uint64] = asked["draws"]
        times: NDArray[np.int64] = asked["times"]
    draw, bins = _compiled()
    memory = _memory(1 + max(int(draws[:, 3].max()), len(times)))
    found: dict[str, Any] = {}
    for i, (shape, key, first, count) in enumerate(draws):
        draw(memory.address, int(shape), key, int(first), int(count))
        found[f"many{i}"] = memory["stall_from"][0, 1 : 1 + int(count)].copy()
        found[f"single{i}"] = memory["stall_to"][0, 1 : 1 + int(count)].copy()
    memory["stall_from"][0, : len(times)] = times
    bins(memory.address, len(times))
    np.savez(file, bins=memory["stall_before"][0, : len(times)], **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
