"""Distributions and laws of access as tables that compiled code reads."""

from __future__ import annotations

from typing import Final

import numpy as np

from mmusim.costs.distributions import CELLS, OCTAVES, Constant, Distribution, quantile_nodes
from mmusim.engine.compiled.memory import Memory
from mmusim.engine.compiled.points import NOTHING, SWEEP
from mmusim.workload.points import COUNTS, Law, Sweep
from mmusim.workload.rates import Rates

NODES: Final = (2, OCTAVES * CELLS + 1)
"""Of the lower and of the upper half of a distribution."""
MIN_SHAPES: Final = 16
"""Distributions that there is room for at first."""


class Shapes:
    """The distributions of a run, each with a number."""

    def __init__(self, memory: Memory) -> None:
        """There is none yet."""
        self._memory = memory
        self._numbers: dict[Distribution, int] = {}
        memory.put("quantiles", np.zeros((0, *NODES)))

    def number(self, distribution: Distribution) -> int:
        """Return the number of a distribution, from 0; a new one is tabulated."""
        if distribution not in self._numbers:
            memory, number = self._memory, len(self._numbers)
            if isinstance(distribution, Constant):
                value, nodes = distribution.ns, np.zeros(NODES)
            else:
                value, nodes = np.nan, np.stack(quantile_nodes(distribution))
            self._make_room(number)
            memory["constants"][number], memory["quantiles"][number] = value, nodes
            self._numbers[distribution] = number
        return self._numbers[distribution]

    def _make_room(self, number: int) -> None:
        """Make room for a distribution, and for as many again as there are."""
        memory, have = self._memory, len(self._memory["quantiles"])
        if number < have:
            return
        more = max(MIN_SHAPES, have)
        memory.put("constants", np.append(memory["constants"], np.zeros(more)))
        nodes = np.zeros((more, *NODES))
        memory.put("quantiles", np.concatenate([memory["quantiles"], nodes]))


class Laws:
    """When the pages of guests that are given by rates are accessed; law 0 is never."""

    def __init__(self, memory: Memory) -> None:
        """There is none yet."""
        self._memory = memory
        self._numbers: dict[Law, int] = {}
        memory.put("law_bits", np.array([NOTHING], np.int64))
        memory.put("law_counts", np.zeros((1, COUNTS)))
        memory.put("law_step", np.zeros(1, np.int64))
        memory.put("law_pages", np.zeros(1, np.int64))

    def let_have(self, vcpu: int, rates: Rates, half: int, vcpus: int) -> None:
        """Write the laws of a vCPU, and make room for a tournament of `half` leaves for each of
        `vcpus`.
        """
        memory = self._memory
        numbers = np.array([0, *map(self._number, rates.laws)], np.uint16)
        law = numbers[rates.law].ravel()
        for name, width, kind in (
            ("tournament", 2 * half, np.int64), ("block_law", len(law), np.uint16),
        ):  # fmt: skip
            if memory[name].shape[1] < width:
                wider = np.zeros((vcpus, width), kind)
                wider[:, : memory[name].shape[1]] = memory[name] if memory[name].size else 0
                memory.put(name, wider)
        memory["block_law"][vcpu, : len(law)] = law

    def _number(self, law: Law) -> int:
        """Return the number of a law, tabulated if it is new."""
        if law not in self._numbers:
            memory, number = self._memory, len(self._numbers) + 1
            for name, value in (
                ("law_bits", SWEEP if isinstance(law, Sweep) else law.cell_bits),
                ("law_step", law.step if isinstance(law, Sweep) else 0),
                ("law_pages", law.pages if isinstance(law, Sweep) else 0),
            ):
                memory.put(name, np.append(memory[name], np.int64(value)))
            counts = np.zeros(COUNTS) if isinstance(law, Sweep) else np.array(law.counts)
            memory.put("law_counts", np.vstack([memory["law_counts"], counts]))
            self._numbers[law] = number
        return self._numbers[law]
