"""The verb that selects the best policy or setting."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from mmusim.base.errors import ConfigError, InterruptedRunError
from mmusim.base.units import parse_fraction
from mmusim.cli.output import table
from mmusim.cli.reports import default_folder
from mmusim.cli.run import notice, show_progress
from mmusim.experiment.selection import Contest, Rules, select
from mmusim.vocabulary import METRICS


def share(option: str, text: str) -> float:
    """Read a share that was given as an option, ``2%``.

    Raises
    ------
    ConfigError
        If it is none.
    """
    try:
        return parse_fraction(text)
    except ValueError as error:
        rule, _, remedy = str(error).partition("; ")
        raise ConfigError.of("select", option, text, rule, remedy or "write e.g. 2%") from None


def verb(
    experiment: Path,
    out: Path | None,
    rules: Rules,
    among: Any,
    setting: str,
    policy: str,
    workers: int | None,
    engine: str,
    as_json: bool,
) -> int:
    """Select and print; return the exit status."""
    out = out or default_folder(experiment)
    notice(engine)
    try:
        with show_progress() as progress:
            made, failures = select(
                experiment, out, rules, among=among, setting=setting, policy=policy,
                workers=workers, engine=engine, progress=progress,
            )  # fmt: skip
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted; finished runs are stored in {out}: run the same command to go on"
        ) from None
    rows = [row for contest in made for row in _rows(contest)]
    says = [str(contest) for contest in made]
    if as_json:
        data = [_as_data(contest) for contest in made]
        table("", rows, True, contests=data, says=says, failures=failures)
    else:
        table(f"Selection by {rules.metric}", rows, False)
        for line in [*(f"failed: {failure}" for failure in failures), *(f"{s}." for s in says)]:
            typer.echo(line)
    known = all(c.selection is not None and c.selection.selected for c in made)
    return 0 if known and not failures else 1


def _rows(contest: Contest) -> list[dict[str, Any]]:
    found = contest.selection
    if found is None:
        return []
    unit = METRICS[contest.metric].unit
    rows = []
    for rank, i in enumerate(found.ranking, 1):
        dropped = found.dropped_at[i]
        alive = "selected" if found.selected else "may be the best"
        rows.append(
            {
                "contest": contest.title,
                "rank": rank,
                "competitor": contest.names[i],
                f"mean_{unit}" if unit else "mean": found.means[i],
                "seeds": dropped or found.seeds,
                "standing": alive if dropped is None else f"dropped after {dropped} seeds",
            }
        )
    return rows


def _as_data(contest: Contest) -> dict[str, Any]:
    found = contest.selection
    return {
        "title": contest.title,
        "names": list(contest.names),
        "metric": contest.metric,
        "selection": None if found is None else asdict(found),
    }
