"""Host profiles: the cost of each operation on a machine, with its provenance."""

from __future__ import annotations

import logging
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from mmusim.base.errors import ConfigError, nearest
from mmusim.base.inputs import read_text
from mmusim.base.parsing import MOST_TOML, parse_toml
from mmusim.base.quantities import Strict, Time
from mmusim.config.cost import CostSpec, distribution
from mmusim.config.load import check
from mmusim.config.measured import Certainty, Interference, Measurement, hits_for
from mmusim.config.topology import Machine, Provenance
from mmusim.costs.distributions import Constant, Distribution
from mmusim.vocabulary import COSTS
from mmusim.vocabulary.host_costs import SHARING_COSTS
from mmusim.vocabulary.machine_costs import MACHINE_COSTS

_LOG = logging.getLogger("mmusim")


class Cost(Strict):
    """One cost of a host, with the source of its value."""

    value: CostSpec
    provenance: Provenance
    note: Annotated[str, Field(min_length=1, description="source or reasoning")]
    plausible: Annotated[list[Time] | None, Field(min_length=2, max_length=2)] = None
    """Least and largest mean that are plausible, if its provenance alone does not say so."""
    certainty: Certainty | None = None
    """How sure it is, if it was measured."""
    ks: float | None = None
    """Largest distance between the distribution functions of the samples and of the value."""

    @model_validator(mode="after")
    def _is_plausible(self) -> Self:
        if self.plausible is not None:
            low, high = self.plausible
            if not 0 < low <= self.distribution().mean() <= high or low == high:
                raise ValueError(
                    "plausible must ascend from above zero and hold the mean; correct its bounds"
                )
        return self

    def distribution(self) -> Distribution:
        """Return the distribution in nanoseconds."""
        return distribution(self.value)


@cache
def default_cost(name: str) -> Cost:
    """Return the default of a cost that a host profile does not give; it is assumed."""
    term = COSTS[name]
    note = f"not in the profile; the default of the model: {term.source}"
    bounds = None if term.plausible is None else list(term.plausible)
    return Cost.model_validate(
        {"value": term.default, "provenance": "assumed", "note": note, "plausible": bounds}
    )


class HostProfile(Strict):
    """All costs of one machine. A cost that the profile does not give takes the default."""

    name: str
    describes: str
    source: str
    costs: dict[str, Cost]
    interference: list[Interference] = Field(default_factory=list)
    """What else this host does on the vCPUs' processors. Experiments may add to it."""
    measurement: Measurement | None = None
    machine: Machine | None = None
    """Its processors and the laws of load that it follows. Without it there is no load."""

    @field_validator("costs")
    @classmethod
    def _complete(cls, costs: dict[str, Cost]) -> dict[str, Cost]:
        for name in costs:
            if name not in COSTS:
                raise ValueError(f"{name!r} is not a cost of the model; {nearest(name, COSTS)}")
        return {name: costs.get(name) or default_cost(name) for name in COSTS}

    @property
    def defaulted(self) -> tuple[str, ...]:
        """Costs that the profile does not give; they have the default of the vocabulary."""
        return tuple(
            name
            for name, cost in self.costs.items()
            if cost == default_cost(name)
            and (self.machine or name not in MACHINE_COSTS)
            and name not in SHARING_COSTS
        )

    def distributions(self, order: str, memory: int) -> dict[str, Distribution]:
        """Return every cost for guests that touch `memory` bytes per vCPU in this order.

        If the host's hits were measured by order and footprint, the nearest measurement counts.
        """
        costs = {name: cost.distribution() for name, cost in self.costs.items()}
        hits = self.measurement.hits if self.measurement else []
        near = hits_for(hits, order, memory)
        if near is not None:
            costs["t_hit_2M"] = distribution(near.t_hit_2M)
            costs["t_walk_4K"] = distribution(near.t_walk_4K)
        return costs


def without_machine(
    costs: dict[str, Distribution], machine: Machine | None
) -> dict[str, Distribution]:
    """Return costs in which those of laws that a host does not follow are zero."""
    unpaid = (name for name in MACHINE_COSTS if machine is None or not machine.pays(name))
    return costs | dict.fromkeys(unpaid, Constant(0.0))


def without_sharing(
    costs: dict[str, Distribution], pin: int | None, vcpus: int, source: str
) -> dict[str, Distribution]:
    """Return costs in which those are zero that go with a shared processor, if none is shared.

    Raises
    ------
    ConfigError
        If the thread of the host is pinned beside a vCPU that does not exist.
    """
    if pin is None:
        return costs | dict.fromkeys(SHARING_COSTS, Constant(0.0))
    if pin >= vcpus:
        raise ConfigError.of(
            source, "host.emulatorpin", pin, f"is no vCPU: there are {vcpus}, counted from 0",
            f"choose 0 to {vcpus - 1}, or raise vm.vcpus",
        )  # fmt: skip
    return costs


def check_machine(machine: Machine | None, vcpus: int, source: str) -> None:
    """Check that a machine can take the vCPUs.

    Raises
    ------
    ConfigError
        If more vCPUs share its cores than prices hold.
    """
    rule = None if machine is None else machine.law_of(vcpus)
    if rule is not None:
        raise ConfigError.of(
            source, "vm.vcpus", vcpus, rule, "lower it, or raise cores of the machine"
        )


def shipped_profiles() -> dict[str, Path]:
    """Return the profiles that come with mmusim, by name."""
    folder = Path(str(files("mmusim.costs") / "profiles"))
    return dict(sorted((path.stem, path) for path in folder.glob("*.toml")))


def load_profile(name: str, folder: Path = Path(), source: str = "host") -> HostProfile:
    """Load a shipped profile by name, or a TOML file by its path relative to `folder`.

    `source` is the file that asks for it, for messages. Costs that the file leaves out are logged
    as a warning, once a process.

    Raises
    ------
    ConfigError
        If there is no such profile, or with all that is wrong in the file.
    """
    shipped = shipped_profiles()
    if name not in shipped and not name.endswith(".toml"):
        raise ConfigError.of(
            source, "host.profile", name, "is neither a shipped profile nor a .toml file",
            nearest(name, shipped),
        )  # fmt: skip
    path = shipped.get(name) or folder / name
    profile = _profile(read_text(path, MOST_TOML), str(path))
    _note_defaults(str(path), profile.defaulted)
    return profile


@lru_cache(maxsize=16)
def _profile(text: str, source: str) -> HostProfile:
    """Return the profile that a text is; `source` names it in messages. It is frozen, so shared."""
    return check(parse_toml(text, source), HostProfile, source)


@cache
def _note_defaults(path: str, names: tuple[str, ...]) -> None:
    """Name once the costs of a profile that are defaults. The command line prints it on stderr."""
    if names:
        _LOG.warning(
            "%s: has no value for %s; the default is assumed (see mmusim vocabulary costs)",
            path, ", ".join(names),
        )  # fmt: skip
