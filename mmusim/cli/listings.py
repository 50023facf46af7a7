"""The verbs that only tell."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import tomli_w
import typer

from mmusim.base.errors import MisfitError
from mmusim.base.units import show_ns
from mmusim.cli.output import table
from mmusim.config.host import Cost, load_profile, shipped_profiles
from mmusim.config.schema import experiment_schema
from mmusim.config.settings import load_settings, resolved
from mmusim.policies import PRESETS, Chosen, Policy, choose, policy_named
from mmusim.policies import policies as registered
from mmusim.vocabulary import COSTS


def show(experiment: Path) -> None:
    """Print the resolved settings."""
    for setting in load_settings(experiment)[1]:
        typer.echo(f"# {setting.name or 'the only setting'}\n{tomli_w.dumps(resolved(setting))}")


def schema() -> None:
    """Print the JSON schema of experiment files."""
    typer.echo(json.dumps(experiment_schema(), indent=1))


def policies(name: str, as_json: bool) -> None:
    """List the policies, or explain one."""
    if not name:
        rows = [
            {"policy": key, "decides": _decides(cls), "what_it_does": cls.summary()}
            for key, cls in registered().items()
        ]
        for kernel in PRESETS:
            what = policy_named(kernel.name).summary()
            rows.append({"policy": kernel.name, "decides": "kernel", "what_it_does": what})
        table("Policies", rows, as_json)
        return
    policy = policy_named(name)
    chosen = _possible(policy)
    facts = {
        "policy": name,
        "decides": {axis: value.value for axis, value in policy.choices.items()},
        "commits": list(policy.commits),
        "text": "\n\n".join(_paragraphs(name)),
        "first_kernel": chosen.kernel.name,
        "choices": {axis: value.value for axis, value in chosen.choices._asdict().items()},
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    typer.echo(f"{name}\n\n{facts['text']}")
    if policy.commits:
        typer.echo(f"\nKernel: {'; '.join(policy.commits)}")
    typer.echo(f"\nIn {chosen.kernel.name}:")
    for axis, value in chosen.choices._asdict().items():
        typer.echo(f"  {axis} = {value.value}: {value.meaning}")


def _paragraphs(name: str) -> list[str]:
    """Return the text of every part of a name, that of a kernel followed by its default."""
    texts = []
    for part in name.split("+"):
        policy = policy_named(part)
        texts.append(inspect.cleandoc(type(policy).__doc__ or ""))
        if policy.kernel is not None and part == policy.kernel.name:
            texts.append(policy.kernel.history())
    return texts


def _possible(policy: Policy) -> Chosen:
    """Return the policy in the first kernel that can have it."""
    for kernel in PRESETS:
        try:
            return choose(policy, kernel=kernel.name)
        except MisfitError as misfit:
            if policy.kernel is not None or kernel is PRESETS[-1]:
                raise misfit.complaint("policies") from None
    raise AssertionError("there are presets")


def _decides(policy: type[Policy]) -> str:
    return ", ".join(f"{axis}: {value.value}" for axis, value in policy.choices.items())


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
            "interval": _interval(cost),
            "meaning": COSTS[key].meaning,
            "note": cost.note,
        }
        for key, cost in costs
    ]
    table(f"{name}: {profile.describes}", rows, as_json)


def _interval(cost: Cost) -> str:
    """Say how sure a measured cost is."""
    sure = cost.certainty
    return "" if sure is None else f"{show_ns(sure.low)} to {show_ns(sure.high)}"
