"""The level of a run: the time of faults on its virtual machine, relative to the median machine.

A virtual machine of one vCPU has one of `measurement.levels`. The vCPUs of a larger one run side by
side, and each has a level of its own for the whole run: the profile's `measurement.together` has
those of virtual machines with two. Two vCPUs take the levels of one such machine, in either order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmusim.config.measured import LEVELLED
from mmusim.config.settings import Setting
from mmusim.costs.distributions import Distribution, scaled
from mmusim.costs.random_streams import Draws, Pairing, uniforms
from mmusim.trace.records import HOST

Costs = Mapping[str, Distribution]


def costs_of_vcpus(setting: Setting, draws: Draws) -> tuple[Costs, tuple[Costs, ...]]:
    """Return the costs of a run, and those of each vCPU; none if all vCPUs have those of the run.

    Where pairing counts payments, all vCPUs draw from one stream, so they have one level.
    """
    measured = setting.with_levels
    if measured is None:
        return setting.costs, ()
    vcpus = setting.experiment.vm.vcpus
    if vcpus > 1 and measured.together and draws.pairing is not Pairing.BY_OCCURRENCE:
        found = side_by_side(measured.together, vcpus, draws)
        return setting.costs, tuple(_at(setting.costs, factor) for factor in found)
    if not measured.levels:
        return setting.costs, ()
    drawn = float(uniforms(draws.key("level", HOST), 0, 1)[0])
    return _at(setting.costs, measured.levels[int(drawn * len(measured.levels))]), ()


def side_by_side(measured: Sequence[Sequence[float]], vcpus: int, draws: Draws) -> list[float]:
    """Return a level for each vCPU: every two have those of a measured machine, in either order."""
    pairs = -(-vcpus // 2)
    which, order = uniforms(draws.key("together", HOST), 0, 2 * pairs).reshape(2, pairs)
    found: list[float] = []
    for chosen, swapped in zip((which * len(measured)).astype(int), order < 0.5, strict=True):
        one, other = measured[chosen]
        found += [other, one] if swapped else [one, other]
    return found[:vcpus]


def _at(costs: Costs, factor: float) -> Costs:
    return {**costs, **{name: scaled(costs[name], factor) for name in LEVELLED}}
