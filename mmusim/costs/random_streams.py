"""Every random number of a run, as a function of (seed, purpose, actor, index).

The order of calls does not matter. So an operation costs the same under every policy and in every
engine, and runs of one seed are paired (common random numbers). The *pairing* scheme decides how
acts are numbered; only this module decides it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmusim.costs.distributions import CELLS, OCTAVES, Constant, Distribution, quantile_nodes

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

GOLDEN: Final = 0x9E3779B97F4A7C15  # 2**64 / golden ratio, the increment of SplitMix64
BLOCK: Final = 4096
SHORT_BLOCK: Final = 4
"""Costs that are drawn at once for an index far from the last."""


class Pairing(Enum):
    """The random numbers that two policies share when they run with the same seed."""

    BY_ACCESS = "by-access"
    """The k-th access of a vCPU costs the same under every policy that makes it pay."""
    BY_OCCURRENCE = "by-occurrence"
    """The n-th payment for a purpose costs the same, whoever pays."""
    INDEPENDENT = "independent"
    """Nothing. Each policy draws its own numbers. This is the control that shows the value of
    pairing.
    """


@lru_cache(maxsize=1 << 14, typed=True)
def stream_key(*parts: object) -> int:
    """Return a name such as (seed, purpose, actor) hashed to 64 bits, the same on every machine.

    Parts are hashed by their ``repr`` (BLAKE2b).
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def words(key: int, first: int, count: int) -> Words:
    """Return random words `first` to before ``first + count`` of a stream, shape (count,), uint64.

    Source: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), by index instead of by call.
    """
    index = np.arange(first + 1, first + count + 1, dtype=np.uint64)
    z = np.uint64(key) + index * np.uint64(GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def uniforms(key: int, first: int, count: int) -> NDArray[np.float64]:
    """Return numbers in (0, 1), shape (count,), of 52 bits each, for choices that are not costs.

    They belong to indices `first` to before ``first + count``.
    """
    return ((words(key, first, count) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def _quantiles(distribution: Distribution, z: Words) -> NDArray[np.float64]:
    """Inverse transform: the top bit chooses the tail, the rest is the tail probability."""
    lower, upper = quantile_nodes(distribution)
    tail = (z & np.uint64((1 << 63) - 1)).astype(np.float64) + 1.0  # 1 .. 2**63
    bits = tail.view(np.int64)
    cell = (bits >> 45) - ((1023 + 63 - OCTAVES) << 7)  # 7 mantissa bits: CELLS = 128
    part = (bits & ((1 << 45) - 1)) * 2.0**-45
    below = cell < 0  # beyond the last octave: the end of the table
    above = cell >= OCTAVES * CELLS  # exactly 1/2
    part = np.where(below, 0.0, np.where(above, 1.0, part))
    cell = np.where(below, 0, np.minimum(cell, OCTAVES * CELLS - 1))
    left = z >> np.uint64(63) == 0
    start = np.where(left, lower[cell], upper[cell])
    stop = np.where(left, lower[cell + 1], upper[cell + 1])
    return np.asarray(start + part * (stop - start))


def costs(distribution: Distribution, key: int, first: int, count: int) -> Ints:
    """Return times `first` to before ``first + count`` of a stream, shape (count,), in whole ns >=
    0.

    Fractions are rounded up or down by a golden-ratio sequence of the index, so that sums over many
    draws keep the mean: a constant 43.5 ns alternates between 43 and 44.
    """
    index = np.arange(first + 1, first + count + 1, dtype=np.uint64)
    dither = ((index * np.uint64(GOLDEN)) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    if isinstance(distribution, Constant):
        value = np.full(count, distribution.ns)
    else:
        value = _quantiles(distribution, words(key, first, count))
    return np.floor(value + dither).astype(np.int64)


class Stream:
    """Costs of one purpose and actor, by index; blocks are computed when first asked for."""

    __slots__ = ("_base", "_block", "distribution", "key")

    def __init__(self, distribution: Distribution, key: int) -> None:
        """Start with no block."""
        self.distribution = distribution
        self.key = key
        self._base = 0
        self._block: list[int] = []

    def at(self, index: int) -> int:
        """Return the cost with this index, from 0, in ns."""
        i = index - self._base
        if not 0 <= i < len(self._block):
            near = 0 <= i < 2 * BLOCK or index < BLOCK
            size = BLOCK if near else SHORT_BLOCK  # who jumps about needs few of its neighbours
            self._base = index - index % size
            self._block = costs(self.distribution, self.key, self._base, size).tolist()
            i = index - self._base
        return self._block[i]

    def slice(self, first: int, count: int) -> Ints:
        """Return the costs with indices `first` to before ``first + count`` in ns, shape
        (count,).
        """
        return costs(self.distribution, self.key, first, count)


class ByOccurrence(Stream):
    """A stream that ignores the given index and counts its calls instead."""

    __slots__ = ("_asked",)

    def __init__(self, distribution: Distribution, key: int) -> None:
        """Start with no calls."""
        super().__init__(distribution, key)
        self._asked = 0

    def at(self, index: int) -> int:
        """Return the next cost in ns; `index` is ignored."""
        del index
        self._asked += 1
        return super().at(self._asked - 1)


def is_counted(purpose: str) -> bool:
    """Tell whether by-occurrence pairing counts the payments of a purpose; hits (``t_...``) are too
    many.
    """
    return not purpose.startswith("t_")


class Draws:
    """All streams of a run."""

    def __init__(self, seed: int, pairing: Pairing = Pairing.BY_ACCESS, policy: str = "") -> None:
        """Make the streams of a seed; `policy` matters only to independent draws."""
        seed = int(seed)  # a numpy integer names the same streams
        self._root = (seed, policy) if pairing is Pairing.INDEPENDENT else (seed,)
        self._pairing = pairing
        self._shared: dict[str, Stream] = {}

    @property
    def pairing(self) -> Pairing:
        """What runs of one seed share."""
        return self._pairing

    def restart(self) -> None:
        """Let by-occurrence pairing count payments from 0 again, for a new run."""
        self._shared.clear()

    def share(self, purpose: str, stream: ByOccurrence) -> None:
        """Let all actors draw the costs of a purpose from this stream, which counts in its
        own way.
        """
        self._shared[purpose] = stream

    def key(self, purpose: str, actor: int) -> int:
        """Return the 64-bit key of the stream of random words of a purpose and an actor."""
        return stream_key(*self._root, purpose, actor)

    def numbers(self, name: str, actor: int) -> Callable[[str, int, int], NDArray[np.float64]]:
        """Return the uniform numbers of what an actor does in the phase or lap `name`.

        The result is called with a purpose, a first index and a count, as :func:`uniforms` is.
        """

        def numbers(purpose: str, first: int, count: int) -> NDArray[np.float64]:
            return uniforms(self.key(f"{purpose}{name}", actor), first, count)

        return numbers

    def stream(self, purpose: str, actor: int, distribution: Distribution) -> Stream:
        """Return the costs of a purpose for an actor (a vCPU's number, or -1 for the host).

        Hits are many and counted per vCPU; with by-occurrence pairing all other purposes have one
        stream for all actors.
        """
        if self._pairing is Pairing.BY_OCCURRENCE and is_counted(purpose):
            if purpose not in self._shared:
                self._shared[purpose] = ByOccurrence(distribution, self.key(purpose, 0))
            return self._shared[purpose]
        return Stream(distribution, self.key(purpose, actor))
