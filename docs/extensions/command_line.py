"""The command-line reference, from the parser that the program itself uses."""

from __future__ import annotations

from typing import Any

import typer

from mmusim.cli import app


def markdown() -> str:
    """Return a section for each verb, in the order of `mmusim --help`."""
    return "\n".join(_verb("mmusim", typer.main.get_command(app)))


def _verb(path: str, command: Any) -> list[str]:
    """Return the lines of a verb and of the verbs below it."""
    lines = []
    context = typer.Context(command, info_name=path)
    if path != "mmusim":
        level = "#" * path.count(" ")
        lines += [f"#{level} {path}", "", _help(command), ""]
        lines += ["```text", command.get_usage(context).removeprefix("Usage: "), "```", ""]
        lines += _parameters(command, context)
    for name, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            lines += _verb(f"{path} {name}", below)
    return lines


def _help(command: Any) -> str:
    """Return what a verb does, without the section of its docstring for callers in Python."""
    return str(command.help or "").partition("\n\nRaises")[0]


def _parameters(command: Any, context: typer.Context) -> list[str]:
    records = [parameter.get_help_record(context) for parameter in command.params]
    rows = [record for record in records if record is not None]
    if not rows:
        return []
    cells = [f"| `{_cell(left)}` | {_cell(right)} |" for left, right in rows]
    return ["| argument or option | meaning |", "|---|---|", *cells, ""]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
