"""Writes figures in the house style, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole


def save_figure(to: Path, draw: Callable[[], Any], *, err: bool = False) -> None:
    """Draw a figure in the house style and write it, whole or not at all.

    With `err` the message goes to standard error, beside JSON on standard output.
    """
    from mmusim import plots

    if to.suffix not in (".svg", ".png", ".pdf"):
        raise ConfigError.of(
            "--to", str(to), None, "must end in .svg, .png or .pdf", "choose one of the three"
        )
    with plots.style():
        figure = draw()
        with whole(to) as unfinished:
            figure.savefig(unfinished, format=to.suffix[1:], dpi=150)
    typer.echo(f"figure: {to}", err=err)
