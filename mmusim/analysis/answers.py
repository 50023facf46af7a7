"""An experiment's outcome as frames: its runs, their answers, and the certainty."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmusim.analysis.labels import Row, every_run, frame, setting
from mmusim.base.errors import ConfigError
from mmusim.comparison.compare import Comparison, compare, corrected
from mmusim.config.settings import load_settings
from mmusim.experiment.over_hosts import compared_over_hosts, folder_of, settings_of_hosts
from mmusim.experiment.run import Outcome, evaluate, over_hosts
from mmusim.experiment.scheduler import RunDirectory
from mmusim.metrics.few_beyond import all_few_beyond, few_beyond
from mmusim.stats import Answer, Interval, PValue
from mmusim.stats.hosts import OverHosts
from mmusim.store import Store
from mmusim.store.run_table import metric_columns
from mmusim.vocabulary import METRICS

if TYPE_CHECKING:
    import pandas as pd


def load(experiment: str | Path, folder: str | Path | None = None) -> Outcome:
    """Evaluate the stored runs of a run directory. No new runs are made.

    Parameters
    ----------
    experiment : str or Path
        The experiment file.
    folder : str or Path, optional
        The run directory; ``results/ID`` by default, as for `mmusim run`.
    """
    config, settings = load_settings(experiment)
    folder = Path("results") / config.id if folder is None else Path(folder)
    store = Store.open(folder)
    try:
        store.unfinished()
        outcome = evaluate(config, settings, store)
    finally:
        store.close()
    hosts = int(outcome.about.get("costs", "0"))
    if outcome.settings and hosts and folder_of(folder).is_dir():
        store = Store.open(folder_of(folder))
        try:
            made = settings_of_hosts(settings, hosts)
            elsewhere = RunDirectory(experiment=config, settings=made, store=store, engine=None)
            outcome = over_hosts(outcome, settings, elsewhere, hosts)
        finally:
            store.close()
    if not outcome.settings and not outcome.lacking:
        raise ConfigError.of(
            str(folder), "runs", None,
            "holds no complete setting of this experiment and model version",
            f"run `mmusim run {experiment} --out {folder}`",
        )  # fmt: skip
    return outcome


def runs(outcome: Outcome) -> pd.DataFrame:
    """Return one row per run.

    Columns: ``setting`` and its labels, by their keys in the file; ``memory_bytes``, ``vcpus``;
    ``policy``, ``seed``, ``outcome`` (of a migration or a page-table write); ``few_beyond``, the
    metrics that are quantiles with fewer than ten times beyond them; each metric with its
    unit (``phase_time_ns``, ``faults``), missing where the run does not have it; each cause of the
    measured phase's ledger (``ledger_hits_ns``).
    """
    rows: list[Row] = []
    vms = {r.setting.name or "all": r.setting.experiment.vm for r in outcome.settings}
    for where, run in every_run(outcome):
        vm = vms[where["setting"]]
        row = where | {"memory_bytes": vm.memory, "vcpus": vm.vcpus, "outcome": run.outcome}
        row["few_beyond"] = " ".join(all_few_beyond(run.values))
        rows.append(row | metric_columns(run.values, run.ledger))
    return frame(rows, ["setting", "policy", "seed"])


def metrics(outcome: Outcome, *names: str) -> pd.DataFrame:
    """Return one row per run and metric, in the long format of seaborn.

    Columns: ``setting``, labels, ``policy``, ``seed``, ``metric``, ``unit``, ``value``,
    ``few_beyond`` (it is a quantile with fewer than ten times of the run beyond it). Without
    names, every metric that some run has; a metric that a run does not have has no row.

    Raises
    ------
    ConfigError
        If a name is no metric.
    """
    for name in names:
        known(name)
    rows = [
        where
        | {
            "metric": name,
            "unit": METRICS[name].unit,
            "value": run.values[name],
            "few_beyond": bool(few_beyond(run.values, name)),
        }
        for where, run in every_run(outcome)
        for name in names or METRICS
        if name in run.values
    ]
    columns = ["setting", "policy", "seed", "metric", "unit", "value", "few_beyond"]
    return frame(rows, columns)


def known(metric: str) -> str:
    """Return a metric's name if it is known."""
    METRICS.require(metric, "analysis", "metric")
    return metric


def compared(outcome: Outcome, metric: str) -> dict[str, list[Comparison]]:
    """Return each policy against the baseline by a metric, by the name of the setting.

    Each metric is a family with all settings and policies: its p-values are adjusted for the number
    of these (Holm). A setting where a run lacks the metric has no comparison.

    Raises
    ------
    ConfigError
        If there is no such metric.
    """
    found: dict[str, list[Comparison]] = {r.setting.name: [] for r in outcome.settings}
    policies, fresh = outcome.experiment.policies, []
    matters = outcome.experiment.replications.matters
    for r in outcome.settings:
        if metric in r.comparisons:
            found[r.setting.name] = r.comparisons[metric]
        elif all(known(metric) in run.values for runs in r.runs.values() for run in runs):
            runs = r.compared
            base = runs[policies.baseline]
            fresh += [
                (r, compare(base, runs[policy], metric, alpha=r.look.alpha, matters=matters))
                for policy in policies.compare
            ]
    after = corrected([made for _, made in fresh])
    for (r, _), comparison in zip(fresh, after, strict=True):
        hosts = outcome.host_runs.get(r.setting.name)
        found[r.setting.name].append(
            compared_over_hosts(comparison, hosts) if hosts else comparison
        )
    return found


def comparisons(outcome: Outcome, *names: str) -> pd.DataFrame:
    """Return one row a setting, metric and policy that is compared with the baseline.

    Columns: ``setting``, labels, ``metric``, ``unit``, ``baseline``, ``candidate`` and the fields
    of :class:`~mmusim.comparison.compare.Comparison`; an interval is three columns (``ratio``,
    ``ratio_low``, ``ratio_high``). Means, medians and ``difference`` are in the unit that
    ``unit`` names. ``adjusted_p`` and ``answer`` (better, worse, equivalent, unknown; with
    ``is_small``, ``seeds_needed``, and ``why`` where it is unknown for another reason than the
    number of seeds) are those of a ``family`` of so many comparisons. ``pairing``
    is the variance of the comparison over that of an unpaired one. ``seeds`` is the number
    of pairs, ``confidence`` that of each interval by itself. ``holds`` with ``holds_low`` and
    ``holds_high`` is the share of ``hosts`` on which the answer is the same; no number where no
    host was tried, fewer than eight have a value, or the answer is unknown. Without names, the
    metrics that the experiment is evaluated by.

    Raises
    ------
    ConfigError
        If a name is no metric.
    """
    rows: list[Row] = []
    evaluated = dict.fromkeys(name for result in outcome.settings for name in result.comparisons)
    for name in names or evaluated:
        found = compared(outcome, name)
        for result in outcome.settings:
            for c in found[result.setting.name]:
                row = setting(result) | {"metric": name, "unit": METRICS[name].unit}
                own = {k: v for k, v in flat(c).items() if k not in ("metric", "over_hosts")}
                over = c.over_hosts if c.answer.outcome != "unknown" else None
                rows.append(row | own | {
                    "seeds": c.baseline_mean.seeds, "confidence": c.baseline_mean.confidence,
                } | _over_hosts(over))  # fmt: skip
    return frame(rows, ["setting", "metric", "unit", "baseline", "candidate", "ratio", "seeds"])


def _over_hosts(found: OverHosts | None) -> Row:
    """Return a share of hosts as columns."""
    share = found.holds if found is not None and found.is_known else None
    none = float("nan")
    return {
        "hosts": 0 if found is None else found.holds.seeds,
        "holds": none if share is None else share.estimate,
        "holds_low": none if share is None else share.low,
        "holds_high": none if share is None else share.high,
    }


def flat(record: Any) -> Row:
    """Return a dataclass as columns: an interval as three, other nested values left out."""
    row: Row = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Interval):
            row |= {
                field.name: value.estimate,
                f"{field.name}_low": value.low,
                f"{field.name}_high": value.high,
            }
        elif isinstance(value, PValue):
            row[field.name] = value.p
        elif isinstance(value, Answer):
            row |= {
                field.name: value.outcome,
                "is_small": value.small,
                "seeds_needed": value.needed,
                "why": value.why,
            }
        elif not is_dataclass(value) and not isinstance(value, (tuple, list, dict)):
            row[field.name] = value
    return row


def verdicts(outcome: Outcome) -> pd.DataFrame:
    """Return one row a claim and setting it is about.

    Columns: ``claim``, ``setting``, ``metric``, ``unit`` (empty for a ratio), ``policies``,
    ``measured``, ``measured_low``, ``measured_high``, ``confidence``, ``seeds``, ``expected_low``,
    ``expected_high`` (infinite where there is no bound), ``verdict``: supported, refuted or
    inconclusive, ``origin`` and ``source`` of the claim, and on what share of ``hosts`` it holds
    (``holds``, ``holds_low``, ``holds_high``).
    """
    rows: list[Row] = [
        {
            "claim": v.says,
            "setting": v.setting or "all",
            "metric": v.metric,
            "unit": "" if " / " in v.what else METRICS[v.metric].unit,
            "policies": v.what,
            "measured": v.measured.estimate,
            "measured_low": v.measured.low,
            "measured_high": v.measured.high,
            "confidence": v.measured.confidence,
            "seeds": v.measured.seeds,
            "expected_low": v.expected[0],
            "expected_high": v.expected[1],
            "verdict": v.outcome,
            "origin": v.origin,
            "source": v.source,
        }
        | _over_hosts(v.over_hosts)
        for v in outcome.verdicts
    ]
    return frame(rows, ["claim", "setting", "metric", "unit", "measured", "verdict"])
