"""``mmusim decompose``: work of stored runs that moved, and work that vanished."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmusim.base.errors import require_known
from mmusim.cli.shared.options import AsJson, ExperimentFile, Out

if TYPE_CHECKING:
    from mmusim.comparison.decomposition import Decomposition


def decompose(
    experiment: ExperimentFile,
    window: Annotated[
        str,
        typer.Option(help="The window [the measured one, or the whole run].", show_default=False),
    ] = "",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Show how much work moved between host and guest and how much vanished, by cause and payer."""
    from mmusim.analysis.answers import load
    from mmusim.cli.shared.output import say, table
    from mmusim.comparison.decomposition import mean_decomposition

    outcome = load(Path(experiment), out)
    baseline, driver = outcome.experiment.policies.baseline, outcome.experiment.driver
    known = [w.name for w in driver.windows]
    if window:
        rule = "is not a window of the driver"
        require_known(window, known, outcome.experiment.id, "--window", rule)
    window = window or (driver.measure if driver.measure in known else "")
    found = [
        (result.setting.name, mean_decomposition(result.runs[baseline], result.runs[name], window))
        for result in outcome.settings
        for name in outcome.experiment.policies.compare
    ]
    rows = [row for name, one in found for row in _rows(name, one)]
    if as_json:
        table("", rows, True)
        return
    shown = [{k.removesuffix("_ns"): _shown(v) for k, v in row.items()} for row in rows]
    where = f" in {window}" if window else ""
    table(
        f"Against the baseline{where}, means over seeds", shown, False, once=("setting", "policy")
    )
    for name, one in found:
        say(f"{name + ': ' if name else ''}{_sentence(one)}")


def _rows(setting: str, one: Decomposition) -> list[dict[str, Any]]:
    where = {"setting": setting, "policy": one.candidate}
    rows: list[dict[str, Any]] = [
        where
        | {
            "work": part.kind, "host_ns": part.host_ns, "guest_ns": part.guest_ns,
            "moved_to_guest_ns": part.moved_ns, "in_all_ns": part.net_ns,
        }
        for part in one.parts
    ]  # fmt: skip
    total = {"host_ns": one.host_ns, "guest_ns": one.guest_ns, "moved_to_guest_ns": one.moved_ns}
    return [*rows, where | {"work": "all"} | total | {"in_all_ns": one.host_ns + one.guest_ns}]


def _shown(value: Any) -> str:
    from mmusim.base.units import show_ns

    if isinstance(value, str):
        return value
    return ("-" if value < 0 else "") + show_ns(abs(value))


def _sentence(one: Decomposition) -> str:
    way = "from the host to the guest" if one.moved_ns >= 0 else "from the guest to the host"
    return (
        f"{one.candidate} against {one.baseline}: {_shown(abs(one.moved_ns))} moved {way}, "
        f"{_shown(one.vanished_ns)} vanished, {_shown(one.new_ns)} is new."
    )
