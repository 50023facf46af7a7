"""``mmusim hosts``: host profiles and their costs."""

from __future__ import annotations

from typing import Annotated

import typer

from mmusim.base.units import show_ns
from mmusim.cli.shared.options import AsJson
from mmusim.cli.shared.output import table
from mmusim.config.host import Cost, load_profile, shipped_profiles
from mmusim.vocabulary import COSTS
from mmusim.vocabulary.machine_costs import MACHINE_COSTS


def hosts(
    name: Annotated[
        str, typer.Argument(help="A profile: show its costs.", show_default=False)
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List the host profiles, or the costs of one with their provenance."""
    if not name:
        profiles = [(key, load_profile(key)) for key in shipped_profiles()]
        rows = [{"host": key, "describes": p.describes, "source": p.source} for key, p in profiles]
        table("Host profiles", rows, as_json)
        return
    profile = load_profile(name)
    machine = profile.machine
    costs = [(key, profile.costs[key]) for key in COSTS if machine or key not in MACHINE_COSTS]
    rows = [
        {
            "cost": key,
            "mean": show_ns(cost.distribution().mean()),
            "p99": show_ns(float(cost.distribution().quantile(0.99))),
            "provenance": cost.provenance,
            "interval": _interval(cost),
            "meaning": COSTS[key].meaning,
            "note": cost.note,
        }
        for key, cost in costs
    ]
    table(f"{name}: {profile.describes}", rows, as_json)
    if machine is not None and not as_json:
        table("Machine", [machine.row()], as_json)


def _interval(cost: Cost) -> str:
    """Return the certainty of a measured cost as text."""
    sure = cost.certainty
    return "" if sure is None else f"{show_ns(sure.low)} to {show_ns(sure.high)}"
