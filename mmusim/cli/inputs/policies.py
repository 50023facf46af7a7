"""``mmusim policies``: the policies, or one of them explained."""

from __future__ import annotations

import inspect
import json
from typing import Annotated

import typer

from mmusim.base.errors import MisfitError
from mmusim.cli.shared.options import AsJson
from mmusim.cli.shared.output import table, width, wrapped
from mmusim.policies import PRESETS, Chosen, Policy, choose, policy_named
from mmusim.policies import policies as registered


def policies(
    name: Annotated[str, typer.Argument(help="A policy: explain it.", show_default=False)] = "",
    as_json: AsJson = False,
) -> None:
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
    lines = [name, "", *_joined(str(facts["text"]))]
    if policy.commits and policy.commits != (name,):
        lines += ["", f"Commits: {'; '.join(policy.commits)}"]
    beneath = "" if policy.kernel else f" on top of {chosen.kernel.name}"
    lines += ["", f"Its choices{beneath}:"]
    for axis, value in chosen.choices._asdict().items():
        lines.append(f"  {axis} = {value.value}: {value.meaning}")
    for line in lines:
        typer.echo(wrapped(line, width()))


def _paragraphs(name: str) -> list[str]:
    """Return the text of every part of a name, that of a kernel followed by its default."""
    texts = []
    for part in name.split("+"):
        policy = policy_named(part)
        texts.append(inspect.cleandoc(type(policy).__doc__ or ""))
        if policy.kernel is not None and part == policy.kernel.name:
            texts.append(policy.kernel.history())
    return texts


def _joined(text: str) -> list[str]:
    """Return paragraphs as one line each, with an empty line between; a list keeps its lines."""
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        parts = paragraph.splitlines()
        is_list = any(part.startswith(" ") for part in parts)
        lines += ["", *(parts if is_list else [" ".join(parts)])]
    return lines[1:]


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
