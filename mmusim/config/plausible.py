"""What an operation of a host can plausibly cost, and what an experiment has beyond that.

A unit that is read or written wrongly is off by a thousand. An experiment may ask what an
implausible host would do, so its values are accepted, and every result says that they are not
plausible.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from mmusim.base.units import BYTES, show_bytes, show_ns
from mmusim.config.cost import distribution
from mmusim.config.host import load_profile, shipped_profiles
from mmusim.config.setting import Setting
from mmusim.config.topology import Machine
from mmusim.costs.distributions import Distribution
from mmusim.vocabulary import COSTS

MEDIAN: Final = 20.0
"""Factor by which a median may differ from those of all shipped hosts. The hosts themselves differ
by as much: faults of a nested guest cost twenty times those of its host.
"""
MEAN: Final = 1_000.0
"""Factor by which a mean may exceed those of all shipped hosts. Rare long stalls raise a mean."""
_MACHINE: Final = {
    "nodes": (1, 64), "cores": (1, 2048), "smt_gain": (0, 0.3),
    "private_cache": (64 * BYTES["KiB"], 64 * BYTES["MiB"]),
}  # fmt: skip
"""Numbers of a machine: servers with eight sockets, and exits that leave a thread little."""


class Plausible(NamedTuple):
    """Bounds in nanoseconds."""

    least_median: float
    most_median: float
    most_mean: float

    def excess(self, median: float, mean: float) -> str:
        """Say what lies outside and where it may lie; empty if nothing does."""
        if not self.least_median <= median <= self.most_median:
            bound = f"{show_ns(self.least_median)} to {show_ns(self.most_median)}"
            return f"a median of {show_ns(median)}, and plausible is {bound}"
        if mean > self.most_mean:
            bound = f"at most {show_ns(self.most_mean)}"
            return f"a mean of {show_ns(mean)}, and plausible is {bound}"
        return ""


@lru_cache(maxsize=len(COSTS))
def plausible(cost: str) -> Plausible:
    """Return the plausible range of a cost, from the values of the shipped hosts."""
    COSTS.require(cost, "fit", "COST")
    found = [load_profile(name).costs[cost].distribution() for name in shipped_profiles()]
    medians = [float(one.quantile(0.5)) for one in found]
    return Plausible(
        min(medians) / MEDIAN, max(medians) * MEDIAN, max(one.mean() for one in found) * MEAN
    )


def implausible(setting: Setting) -> list[str]:
    """Say which costs and numbers of the machine are beyond what is plausible, each in a sentence
    without its full stop.

    Shipped profiles are plausible. A profile that gives a cost `plausible` bounds, or a machine
    that does so for a number, has said what is plausible itself. A cost of 0 is one that is left
    out.
    """
    host, machine = setting.experiment.host, setting.machine
    said = [
        f"{place} has {excess}"
        for place, name, cost in _costs(setting)
        if (excess := _excess(name, cost))
    ]
    if machine is None:
        return said
    place = "host.machine" if host.machine is not None else f"machine of {host.profile}"
    return [*said, *(f"{place}: {text}" for text in _numbers(machine))]


def _costs(setting: Setting) -> Iterator[tuple[str, str, Distribution]]:
    host = setting.experiment.host
    for name, spec in host.costs.items():
        yield f"host.costs.{name}", name, distribution(spec)
    if host.profile in shipped_profiles():
        return
    for name, cost in setting.profile.costs.items():
        if name not in host.costs and name not in setting.profile.defaulted and not cost.plausible:
            yield f"{name} of {host.profile}", name, cost.distribution()


@lru_cache(maxsize=4096)
def _excess(name: str, cost: Distribution) -> str:
    median, mean = float(cost.quantile(0.5)), cost.mean()
    return plausible(name).excess(median, mean) if mean else ""


def _numbers(machine: Machine) -> Iterator[str]:
    for name, (low, high) in _MACHINE.items():
        value = getattr(machine, name)
        if low <= value <= high or getattr(machine.plausible, name, None):
            continue
        shown = [
            show_bytes(int(number)) if name == "private_cache" else f"{number:g}"
            for number in (value, low, high)
        ]
        yield f"{name} is {shown[0]}, and plausible is {shown[1]} to {shown[2]}"
