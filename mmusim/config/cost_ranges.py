"""Ranges of a host's costs around their values, and settings with other costs in these ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Final

from pydantic import TypeAdapter

from mmusim.config.cost import CostSpec, rescaled
from mmusim.config.host import Cost
from mmusim.config.settings import Setting
from mmusim.costs.distributions import scaled
from mmusim.vocabulary import COSTS

FACTORS: Final = {"measured": 1.1, "published": 1.25, "derived": 1.5, "assumed": 3.0}
"""Factor by which a cost may differ from its value, up and down, by its provenance. A measured cost
with an interval has that as its range. A cost that the experiment sets is assumed.
"""

UNITS: Final = {"cores": "cores", "smt_gain": "of a core"}
"""Units of the numbers of a machine that may be assumed."""

_SPEC: TypeAdapter[Any] = TypeAdapter(CostSpec)


def factors(
    setting: Setting, wide: Mapping[str, float] = FACTORS
) -> dict[str, tuple[float, float]]:
    """Return the range of the factor of every cost of a setting that is not zero.

    Parameters
    ----------
    setting : Setting
        Whose host it is.
    wide : mapping
        Factor by provenance.
    """
    found = {}
    for name in COSTS:
        middle = setting.costs[name].mean()
        if middle <= 0:
            continue
        factor = wide[provenance_of(setting, name)]
        is_own = name in setting.experiment.host.costs
        interval = None if is_own else _interval(setting.profile.costs[name])
        found[name] = interval or (1 / factor, factor)
    return found


def machine_factors(setting: Setting) -> dict[str, tuple[float, float]]:
    """Return the range of the factor of every assumed number of a setting's machine.

    Without a machine there is none. A machine's numbers are `cores` and `smt_gain`.
    """
    machine = setting.machine
    if machine is None:
        return {}
    return {
        name: (low / getattr(machine, name), high / getattr(machine, name))
        for name, (low, high) in machine.ranges().items()
    }


def uncertain(
    setting: Setting, wide: Mapping[str, float] = FACTORS
) -> dict[str, tuple[float, float]]:
    """Return the ranges of all that is uncertain of a host: costs, and numbers of its machine.

    `wide`, the factors by provenance, does not concern the machine, whose numbers have bounds.
    """
    return factors(setting, wide) | machine_factors(setting)


def value_of(setting: Setting, name: str) -> tuple[float, str]:
    """Return the mean of a cost in ns, or a number of the machine, with its unit."""
    if name in COSTS:
        return setting.costs[name].mean(), "ns"
    return float(getattr(setting.machine, name)), UNITS[name]


def provenance_of(setting: Setting, name: str) -> str:
    """Return the provenance of a cost. A cost that the experiment sets is assumed, and so is a
    number of the machine that has a range.
    """
    if name not in COSTS:
        return "assumed"
    is_own = name in setting.experiment.host.costs
    return "assumed" if is_own else setting.profile.costs[name].provenance


def _interval(cost: Cost) -> tuple[float, float] | None:
    """Return the interval of a measured cost over its median, or that of an assumed one over its
    mean, if the profile has one.
    """
    if cost.plausible is not None:
        mean = cost.distribution().mean()
        return cost.plausible[0] / mean, cost.plausible[1] / mean
    known, middle = getattr(cost, "certainty", None), float(cost.distribution().quantile(0.5))
    if known is None or middle <= 0 or not 0 < known.low < known.high:
        return None
    return known.low / middle, known.high / middle


def with_factors(setting: Setting, by: Mapping[str, float]) -> Setting:
    """Return a setting whose costs, and numbers of its machine, are multiplied by factors.

    A fault costs at least its parts. Where exit, section under mmu_lock and entry would take longer
    than the whole, the whole becomes as long.
    """
    costs = dict(setting.costs)
    numbers = {name: factor for name, factor in by.items() if name not in COSTS}
    of_costs = {name: factor for name, factor in by.items() if name in COSTS}
    for name, factor in of_costs.items():
        costs[name] = scaled(costs[name], factor)
    ends = costs["c_exit"].mean() + costs["c_entry"].mean()
    section = costs["c_lock_section"].mean() + costs["c_lock_indirect"].mean()
    for whole, parts in (
        ("c_fault_slow", ends + section), ("c_fault_fast", ends),
    ):  # fmt: skip
        mean = costs[whole].mean()
        if 0 < mean < parts:
            costs[whole] = scaled(costs[whole], parts / mean)
    host = setting.experiment.host
    own = host.costs | {
        name: _SPEC.validate_python(rescaled(_written(setting, name), factor))
        for name, factor in of_costs.items()
    }
    changed: dict[str, Any] = {"costs": own}
    if numbers and setting.machine is not None:
        changed["machine"] = setting.machine.with_factors(numbers)
    experiment = setting.experiment.model_copy(update={"host": host.model_copy(update=changed)})
    text = ", ".join(f"{name} x {factor!r}" for name, factor in sorted(by.items()))
    label = blake2b(text.encode(), digest_size=4).hexdigest() if by else "as they are"
    return replace(
        setting, labels={**setting.labels, "costs": label}, experiment=experiment, costs=costs
    )  # fmt: skip


def _written(setting: Setting, name: str) -> Any:
    """Return a cost as the experiment or the profile writes it."""
    return setting.experiment.host.costs.get(name, setting.profile.costs[name].value)
