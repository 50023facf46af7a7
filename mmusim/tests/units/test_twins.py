"""Data algorithms that are written twice, for arrays and for compiled code: both give the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmusim.base import histogram
from mmusim.costs.distributions import Constant
from mmusim.costs.random_streams import GOLDEN, costs, stream_key, words
from mmusim.engine.choice import numba_trouble
from mmusim.tests.support.compiled_twins import SHAPES

pytestmark = pytest.mark.skipif(
    bool(numba_trouble()), reason="compiled code needs Numba; install mmusim[compiled]"
)
COUNT = 5_000
ENDS = (0, 1, (1 << 19) - 2, 1 << 19, (1 << 63) - 1)
"""Words at the ends of the table of quantiles; the top bit chooses the tail."""
WORDS = [word | top << 63 for word in ENDS for top in (0, 1)]
TIMES = np.concatenate([np.arange(4_000), 1 << np.arange(44), (1 << np.arange(44)) - 1])


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


DRAWS = [
    (number, stream_key("twins", number), first, COUNT)
    for number in range(len(SHAPES)) for first in (0, 12_345, 3 << 40)
]  # fmt: skip
AT_ENDS = [(number, key_that_gives(word), 0, 9) for word in WORDS for number in range(len(SHAPES))]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what compiled code gives for all draws and times."""
    file: Path = tmp_path_factory.mktemp("twins") / "calls.npz"
    np.savez(file, draws=np.array(DRAWS + AT_ENDS, np.uint64), times=TIMES)
    subprocess.run([sys.executable, "-m", "mmusim.tests.support.compiled_twins", file], check=True)
    with np.load(file) as found:
        return dict(found)


@pytest.mark.parametrize("i", range(len(DRAWS)))
def test_draws_one_by_one_and_many_are_those_of_arrays(compiled: Any, i: int) -> None:
    number, key, first, count = DRAWS[i]
    expected = costs(SHAPES[number], key, first, count)
    assert (compiled[f"many{i}"] == expected).all()
    assert (compiled[f"single{i}"] == expected).all()
    other = costs(SHAPES[number], key + 1, first, count)
    if not isinstance(SHAPES[number], Constant):
        assert (other != expected).mean() > 0.5, "negative control: another key"


@pytest.mark.parametrize("word", WORDS)
def test_draws_at_the_ends_of_the_table_are_those_of_arrays(compiled: Any, word: int) -> None:
    key = key_that_gives(word)
    assert int(words(key, 0, 1)[0]) == word
    mine = [i for i, draw in enumerate(DRAWS + AT_ENDS) if draw[1] == key]
    assert len(mine) == len(SHAPES)
    for i in mine:
        expected = costs(SHAPES[(DRAWS + AT_ENDS)[i][0]], key, 0, 9)
        assert (compiled[f"many{i}"] == expected).all()
        assert (compiled[f"single{i}"] == expected).all()


def test_bins_are_those_of_arrays(compiled: Any) -> None:
    assert (compiled["bins"] == histogram.bin_of(TIMES)).all()
