"""Writes figures in the house style, whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_figure(figure: Figure, to: Path) -> None:
    """Write a figure in the format that its name ends in, whole or not at all.

    It is drawn in memory: where the disk is full, some of matplotlib's writers raise what no
    caller expects.

    Raises
    ------
    ConfigError
        If the place cannot be written.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, format=to.suffix[1:], dpi=150)
    with whole(to) as unfinished:
        unfinished.write_bytes(drawn.getvalue())


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
        write_figure(draw(), to)
    typer.echo(f"figure: {to}", err=err)
