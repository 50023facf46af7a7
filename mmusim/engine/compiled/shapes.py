"""Distributions as tables that compiled code draws from."""

from __future__ import annotations

import numpy as np

from mmusim.costs.distributions import CELLS, OCTAVES, Constant, Distribution, quantile_nodes
from mmusim.engine.compiled.memory import Memory


class Shapes:
    """The distributions of a run, each with a number."""

    def __init__(self, memory: Memory) -> None:
        """There is none yet."""
        self._memory = memory
        self._numbers: dict[Distribution, int] = {}
        memory.put("quantiles", np.zeros((0, 2, OCTAVES * CELLS + 1)))

    def number(self, distribution: Distribution) -> int:
        """Return the number of a distribution, tabulated if it is new."""
        if distribution not in self._numbers:
            memory, number = self._memory, len(self._numbers)
            if isinstance(distribution, Constant):
                value, nodes = distribution.ns, np.zeros((2, OCTAVES * CELLS + 1))
            else:
                value, nodes = np.nan, np.stack(quantile_nodes(distribution))
            memory.put("constants", np.append(memory["constants"], value))
            memory.put("quantiles", np.concatenate([memory["quantiles"], nodes[None]]))
            self._numbers[distribution] = number
        return self._numbers[distribution]
