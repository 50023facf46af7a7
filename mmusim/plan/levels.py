"""The level of a run: what faults take on its virtual machine, by the median one of the host."""

from __future__ import annotations

from typing import Final

from mmusim.config.settings import Setting
from mmusim.costs.distributions import Distribution, scaled
from mmusim.costs.random_streams import Draws, uniforms
from mmusim.trace.records import HOST

LEVELLED: Final = ("c_fault_slow", "c_fault_fast", "c_lock_section", "c_exit", "c_entry")
"""Costs that take longer on some virtual machines of a host, and at some times, than on others."""


def at_level(setting: Setting, draws: Draws) -> dict[str, Distribution]:
    """Return the costs of a run, whose virtual machine has one of the levels of its host.

    An experiment that says itself what one of these costs takes has its own costs.
    """
    host, measured = setting.experiment.host, setting.profile.measurement
    own = host.costs.keys() & LEVELLED
    if measured is None or not measured.levels or host.variance == "none" or own:
        return setting.costs
    drawn = float(uniforms(draws.key("level", HOST), 0, 1)[0])
    factor = measured.levels[int(drawn * len(measured.levels))]
    return setting.costs | {name: scaled(setting.costs[name], factor) for name in LEVELLED}
