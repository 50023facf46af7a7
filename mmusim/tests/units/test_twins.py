"""Data algorithms that are written twice, for arrays and for compiled code: both give the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmusim.base import histogram
from mmusim.costs.distributions import Constant, Distribution, Gamma, Lognormal
from mmusim.costs.random_streams import GOLDEN, costs, stream_key, words
from mmusim.engine.choice import numba_trouble

pytestmark = pytest.mark.skipif(
    bool(numba_trouble()), reason="compiled code needs Numba; install mmusim[compiled]"
)
COUNT = 5_000
SHAPES: tuple[Distribution, ...] = (Lognormal(23.0, 0.6), Gamma(15.0, 1.0), Constant(43.5))
ENDS = (0, 1, (1 << 19) - 2, 1 << 19, (1 << 63) - 1)
"""Words at the ends of the table of quantiles; the top bit chooses the tail."""


@pytest.fixture(scope="module")
def compiled() -> Any:
    """Return functions (memory, shape, key, first, count) and (memory, count) of compiled code."""
    import numba

    def compile_as(signature: str) -> Any:
        return numba.njit(signature, _nrt=False, error_model="numpy")

    from mmusim.engine.compiled import memory as memory_of_runs
    from mmusim.engine.compiled.cost_draws import draw_many, of_shape
    from mmusim.engine.compiled.recording import bin_of

    as_state: Any = memory_of_runs.as_state

    def draw(address: int, shape: int, key: int, first: int, count: int) -> None:
        s = as_state(address)
        draw_many(s, s.hits[0], 1, count, shape, key, first)
        for i in range(count):
            s.walks[0, 1 + i] = of_shape(s, shape, key, first + i)

    def bins(address: int, count: int) -> None:
        s = as_state(address)
        for i in range(count):
            s.ends[0, i] = bin_of(s.hits[0, i])

    draws = compile_as("void(int64, int64, uint64, int64, int64)")(draw)
    return draws, compile_as("void(int64, int64)")(bins)


@pytest.fixture(scope="module")
def memory() -> Any:
    """Return a run's memory that knows the distributions."""
    from mmusim.engine.compiled.memory import Memory
    from mmusim.engine.compiled.shapes import Shapes

    made = Memory(1)
    shapes = Shapes(made)
    for shape in SHAPES:
        shapes.number(shape)
    for name in ("hits", "walks", "ends"):
        made.put(name, np.zeros((1, 1 + COUNT), np.int64))
    return made


@pytest.mark.parametrize("number", range(len(SHAPES)))
@pytest.mark.parametrize("first", [0, 12_345, 3 << 40])
def test_draws_one_by_one_and_many_are_those_of_arrays(
    compiled: Any, memory: Any, number: int, first: int
) -> None:
    key = stream_key("twins", number)
    compiled[0](memory.address, number, np.uint64(key), first, COUNT)
    expected = costs(SHAPES[number], key, first, COUNT)
    assert (memory["hits"][0, 1:] == expected).all()
    assert (memory["walks"][0, 1:] == expected).all()
    other = costs(SHAPES[number], key + 1, first, COUNT)
    if not isinstance(SHAPES[number], Constant):
        assert (other != expected).mean() > 0.5, "negative control: another key"


@pytest.mark.parametrize("word", [word | top << 63 for word in ENDS for top in (0, 1)])
def test_draws_at_the_ends_of_the_table_are_those_of_arrays(
    compiled: Any, memory: Any, word: int
) -> None:
    key = key_that_gives(word)
    assert int(words(key, 0, 1)[0]) == word
    for number, shape in enumerate(SHAPES):
        compiled[0](memory.address, number, np.uint64(key), 0, 9)
        assert (memory["hits"][0, 1:10] == costs(shape, key, 0, 9)).all()
        assert (memory["walks"][0, 1:10] == costs(shape, key, 0, 9)).all()


def key_that_gives(word: int) -> int:
    """Return the key of a stream whose first word is this: SplitMix64 backwards."""

    def unshifted(z: int, bits: int) -> int:
        found = z
        for _ in range(64 // bits + 1):
            found = z ^ found >> bits
        return found

    whole = 1 << 64
    z = unshifted(word, 31) * pow(0x94D049BB133111EB, -1, whole) % whole
    z = unshifted(z, 27) * pow(0xBF58476D1CE4E5B9, -1, whole) % whole
    return (unshifted(z, 30) - GOLDEN) % whole


def test_bins_are_those_of_arrays(compiled: Any, memory: Any) -> None:
    ns = np.concatenate([np.arange(4_000), 1 << np.arange(44), (1 << np.arange(44)) - 1])
    memory["hits"][0, : len(ns)] = ns
    compiled[1](memory.address, len(ns))
    assert (memory["ends"][0, : len(ns)] == histogram.bin_of(ns)).all()
