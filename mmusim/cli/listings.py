"""The verbs that only tell."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import tomli_w
import typer

from mmusim.cli.output import table
from mmusim.config.cells import load_cells, resolved
from mmusim.config.experiment import Experiment
from mmusim.config.host import COSTS, load_profile, shipped_profiles
from mmusim.policies import policies as registered
from mmusim.policies import policy_named
from mmusim.units import show_ns


def show(experiment: Path) -> None:
    """Print the resolved cells."""
    for cell in load_cells(experiment)[1]:
        typer.echo(f"# {cell.name or 'the only cell'}\n{tomli_w.dumps(resolved(cell))}")


def schema() -> None:
    """Print the JSON schema of experiment files."""
    typer.echo(json.dumps(Experiment.model_json_schema(by_alias=True), indent=1))


def policies(name: str, as_json: bool) -> None:
    """List the policies, or explain one."""
    if not name:
        rows = [
            {"policy": key, "mmu": ", ".join(cls.mmu), "what_it_does": cls.summary()}
            for key, cls in registered().items()
        ]
        table("Policies", rows, as_json)
        return
    policy = type(policy_named(name))
    facts = {
        "policy": name,
        "mmu": list(policy.mmu),
        "commits": list(policy.commits),
        "text": inspect.cleandoc(policy.__doc__ or ""),
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    typer.echo(f"{name}  (MMU: {', '.join(policy.mmu)})\n\n{facts['text']}")
    if policy.commits:
        typer.echo(f"\nKernel: {'; '.join(policy.commits)}")


def hosts(name: str, as_json: bool) -> None:
    """List the profiles, or the costs of one."""
    if not name:
        profiles = [(key, load_profile(key)) for key in shipped_profiles()]
        rows = [{"host": key, "describes": p.describes, "source": p.source} for key, p in profiles]
        table("Host profiles", rows, as_json)
        return
    profile = load_profile(name)
    costs = [(key, profile.costs[key]) for key in COSTS]
    rows = [
        {
            "cost": key,
            "mean": show_ns(cost.distribution().mean()),
            "p99": show_ns(float(cost.distribution().quantile(0.99))),
            "provenance": cost.provenance,
            "meaning": COSTS[key],
            "note": cost.note,
        }
        for key, cost in costs
    ]
    table(f"{name}: {profile.describes}", rows, as_json)
