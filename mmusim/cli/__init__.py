"""The command line. A verb is one file in the folder of its group; nothing lists it (`verbs`).

Each folder is a group of ``mmusim --help``. ``shared/`` is what several verbs use.
May import every other package; none imports this one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Final

import typer

from mmusim.cli.verbs import HELP_OPTIONS, Verbs, title_of, verbs_in

GROUPS: Final = (
    "questions", "results", "one_run", "inputs", "calibrate", "evidence", "speed",
)  # fmt: skip
"""Folders of verbs, in the order of the help; their docstrings are its titles."""


class Program(Verbs):
    """All verbs."""

    groups: ClassVar = {
        title_of(Path(__file__).parent / name): verbs_in(
            Path(__file__).parent / name, f"{__name__}.{name}"
        )
        for name in GROUPS
    }


app = typer.Typer(
    cls=Program,
    name="mmusim",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=HELP_OPTIONS,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        from mmusim.base.source_hash import code_hash

        typer.echo(f"mmusim {version('mmusim')} (model {code_hash()})")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print version and model, and exit."
        ),
    ] = False,
) -> None:
    """Which dirty-logging policy gives a KVM guest the least jitter, by how much, and why."""
