"""One self-contained HTML file per experiment."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mmusim.base.files import whole
from mmusim.config.defaults import rests_on
from mmusim.experiment.run import Outcome
from mmusim.report import tables
from mmusim.report.answers import answers, stories, verdict_counts
from mmusim.report.claim_cells import left_out_lines
from mmusim.report.figures import MOST_PANELS, figures
from mmusim.report.outcome_table import notes
from mmusim.report.service import blocktime_table, service_table
from mmusim.report.stall_ledger import stall_ledger
from mmusim.store import Store


def write_report(outcome: Outcome, store_folder: Path) -> Path:
    """Write ``report.html`` into a run directory, whole or not at all; return its path.

    Raises
    ------
    ConfigError
        If the file cannot be written.
    """
    path = store_folder / "report.html"
    store = Store.open(store_folder)
    configs = [{"name": name or "all", "toml": toml} for name, toml in store.settings().values()]
    store.close()
    text = render(outcome, configs)
    with whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    return path


@cache
def environment() -> jinja2.Environment:
    """Return where the pages' templates are."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("mmusim.report", "."), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def render(outcome: Outcome, configs: list[dict[str, str]]) -> str:
    """Return the report as HTML."""
    said = answers(outcome)
    return environment().get_template("report.html.jinja").render(
        e=outcome.experiment,
        answers=said,
        rests_on=[*notes(outcome), *left_out_lines(outcome)],
        verdicts=verdict_counts(outcome),
        claims=tables.claims(outcome),
        comparisons=tables.comparisons(outcome),
        ledger=tables.ledger(outcome),
        stalls=stall_ledger(outcome),
        service=service_table(outcome),
        blocktimes=blocktime_table(outcome),
        operation_times=tables.operation_times(outcome),
        fingerprints=tables.fingerprints(outcome),
        stories=list(stories(outcome)),
        figures=list(figures(outcome)),
        left_out=max(0, len(outcome.settings) - MOST_PANELS),
        about=outcome.about,
        defaults=list(dict.fromkeys(
            text for r in outcome.settings for text in rests_on(r.setting)
        )),
        seeds=_seeds(outcome),
        configs=configs,
        failures=outcome.failures,
        summary=_embedded(outcome, said),
    )  # fmt: skip


def _seeds(outcome: Outcome) -> int:
    """Return the seeds of the setting that has most: what a repetition has to ask for."""
    return max((len(runs) for r in outcome.settings for runs in r.runs.values()), default=0)


def _embedded(outcome: Outcome, said: list[str]) -> Markup:
    """Return what an index page shows of the report, as JSON that no reader sees."""
    facts: dict[str, Any] = {
        "experiment": outcome.experiment.id,
        "question": outcome.experiment.question,
        "answer": said[0] if said else "Not enough finished runs to answer",
        "verdicts": verdict_counts(outcome),
        "settings": len(outcome.settings),
        "runs": sum(1 for _ in tables.every_run(outcome)),
    }
    return Markup(json.dumps(facts).replace("<", "\\u003c"))
