"""The tables of a report: their contents and sort keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mmusim.analysis.answers import compared
from mmusim.base.units import show_ns, show_number
from mmusim.comparison.compare import Comparison
from mmusim.experiment.run import Outcome, SettingResult
from mmusim.metrics.measure import Metrics
from mmusim.report.claim_cells import expected_text, interval_text, measured_text, verdict_text
from mmusim.report.extremes import extreme, hidden_by
from mmusim.stats import Interval
from mmusim.stats.hosts import OverHosts, why_left_out
from mmusim.stats.marks import EXPLAINED
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.causes import CAUSES
from mmusim.vocabulary.metrics import MIN_BEYOND


@dataclass(frozen=True, slots=True)
class Cell:
    """The content of a cell of a table."""

    text: str
    value: float | None = None  # what it is sorted by; None: the text
    kind: str = ""  # supported, refuted, inconclusive
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that can be sorted and filtered."""

    id: str
    caption: str
    columns: Sequence[tuple[str, bool]]  # name, and whether it holds numbers
    rows: Sequence[Sequence[Cell]]
    note: str = ""


FEW = "(few beyond)"
"""Marks a quantile beyond which fewer than ten times lie."""
NOTHING = Cell("–", -1e308)  # sorted below every number


def number(value: float | None, text: str = "") -> Cell:
    """Return a cell with a number."""
    return NOTHING if value is None else Cell(text or show_number(value), value)


def interval(i: Interval | None, metric: str = "") -> Cell:
    """Return a cell with an estimate and its interval, in the metric's unit if there is one."""
    if i is None:
        return NOTHING
    is_time = bool(metric) and METRICS[metric].unit == "ns"
    show = show_ns if is_time else lambda value: show_number(float(f"{value:.4g}"))
    return Cell(f"{show(i.estimate)} [{i.span(show, ', ')}]", i.estimate)


def claims(outcome: Outcome) -> Table:
    """Return the claims with the verdicts of the runs."""
    rows = []
    for v in outcome.verdicts:
        text, because = verdict_text(v.outcome, v.origin, v.refuted), v.reason or v.refuted
        said = Cell(f"{text} ({because})" if because else text, kind=v.outcome)
        rows.append(
            [
                Cell(v.says), said, _holds(v.over_hosts), Cell(v.setting or "all"),
                Cell(f"{v.metric} of {v.what}" + (f", {v.window}" if v.window else "")),
                Cell(measured_text(v), v.measured.estimate),
                Cell(interval_text(v), v.measured.low),
                Cell(expected_text(v), v.expected[0]), Cell(hidden_by(v, outcome)),
                Cell(v.origin),
            ]
        )  # fmt: skip
    columns = [
        ("claim", False), ("verdict", False), ("holds", True), ("setting", False),
        ("of what", False), ("measured", True), ("interval", True), ("expected", True),
        ("worst", False), ("origin", False),
    ]  # fmt: skip
    return Table(
        id="claims-table", caption="Claims and verdicts", columns=columns, rows=rows,
        note="Supported: the whole interval lies in the expected range. Refuted: they do not meet. "
        "Inconclusive: anything else, and where an interval is marked (*). Intervals cover 95 %, "
        "those of theories and of the best of several more (Bonferroni); a claim about several "
        "settings is refuted by intervals that cover all at once. "
        "Holds: share of the tested hosts, with costs drawn from what is known about them, on "
        "which the value lies in the expected range, with its interval, which counts hosts without "
        "a value either way; not known, if fewer than eight hosts have one. "
        "Worst: the largest time that a mean or a quantile hides, and bad ends. "
        "Origin: published, published and fitted by costs (calibrated), a closed form (theory), "
        "what the model does (mechanism), our hypothesis before the runs, or observed in runs and "
        "pinned.",
    )  # fmt: skip


def _holds(found: OverHosts | None) -> Cell:
    if found is None:
        return NOTHING
    share = found.holds
    if not found.is_known:
        text, value = str(found), NOTHING.value
    else:
        text, value = f"{share.estimate:.0%} [{share.low:.0%}, {share.high:.0%}]", share.estimate
    if found.left_out:
        why = why_left_out(found.left_out)
        text += f" ({found.tried - share.seeds} of {found.tried} left out: {why})"
    return Cell(text, value)


def comparisons(outcome: Outcome) -> Table:
    """Return every comparison of the metrics that the experiment is evaluated by."""
    evaluated = dict.fromkeys(name for r in outcome.settings for name in r.comparisons)
    first = outcome.experiment.answer_by
    runs_of = {result.setting.name: result.runs for result in outcome.settings}
    rows = []
    for metric in dict.fromkeys([first, *evaluated]):
        for setting, found in compared(outcome, metric).items():
            runs = runs_of[setting]
            rows += [list(_comparison(setting, c, runs)) for c in found]
    columns = [
        ("setting", False), ("metric", False), ("policy", False), ("answer", False),
        ("holds", True), ("ratio", True), ("policy’s mean", True), ("baseline’s mean", True),
        ("worst", False), ("difference", True), ("adjusted p", True), ("better on a seed", True),
        ("effect", True), ("pairing", True),
    ]  # fmt: skip
    baseline = outcome.experiment.policies.baseline
    return Table(
        id="comparisons-table", caption=f"Policies against {baseline}", columns=columns, rows=rows,
        note="Estimates with intervals over paired seeds, each by itself. p: of equal means, "
        "adjusted for the number of comparisons of its metric (Holm). Better on a seed: "
        "probability that the policy beats the baseline. Effect: mean over standard deviation "
        "of the differences (Cohen’s d_z). Pairing: variance of the paired comparison over that of "
        "an unpaired one; above 1 common random numbers do harm. Holds: share of the tested hosts "
        "on which the answer is the same, with its interval. Worst: the largest request, access or "
        "stall of all seeds of the policy, or its worst seed, and runs that did not end well; "
        "behind it those of the baseline. *: the interval may not cover, "
        f"because {_marks()}. –: a value is zero, or nothing "
        f"varies. {FEW}: fewer than {MIN_BEYOND} times lie beyond this quantile in some run, so it "
        "says little, and no claim rests on it.",
    )  # fmt: skip


def _comparison(
    setting: str, c: Comparison, runs: Mapping[str, Sequence[Metrics]]
) -> Iterator[Cell]:
    yield Cell(setting or "all")
    yield Cell(f"{c.metric} {FEW}" if c.caveat else c.metric)
    yield Cell(c.candidate)
    yield Cell(str(c.answer))
    yield _holds(c.over_hosts if c.answer.outcome != "unknown" else None)
    yield interval(c.ratio)
    yield interval(c.candidate_mean, c.metric)
    yield interval(c.baseline_mean, c.metric)
    mine, base = (extreme(c.metric, runs[policy]) for policy in (c.candidate, c.baseline))
    yield Cell(f"{mine} (baseline {base})")
    yield interval(c.difference, c.metric)
    yield number(c.adjusted_p, f"{c.adjusted_p:.3g}")
    yield interval(c.superiority)
    yield number(c.effect, "" if c.effect is None else f"{c.effect:.3g}")
    yield number(c.pairing, "" if c.pairing is None else f"{c.pairing:.2f}")


def _marks() -> str:
    return "; or ".join(why for mark, why in EXPLAINED.items() if mark != "few seeds")


def ledger(outcome: Outcome) -> Table:
    """Return where the vCPUs' time in the measured phase went."""
    causes = [c for c in CAUSES if any(r.ledger[c] for r in every_run(outcome))]
    rows = []
    for result in outcome.settings:
        for policy in result.runs:
            mean = mean_ledger(result, policy)
            times = [number(mean[c], show_ns(mean[c]) if mean[c] else "0") for c in causes]
            rows.append([Cell(result.setting.name or "all"), Cell(policy), *times])
    return Table(
        id="ledger-table", caption="Mean time of all vCPUs by cause",
        columns=[("setting", False), ("policy", False), *((cause, True) for cause in causes)],
        rows=rows,
        note="Mean over seeds, all vCPUs, measured phase. The causes sum to the vCPUs’ time "
        "exactly.",
    )  # fmt: skip


def operation_times(outcome: Outcome) -> Table:
    """Return the times of the log operations, with their parts."""
    rows = []
    for result in outcome.settings:
        for policy in result.runs:
            for operation, spent in mean_operation_times(result, policy).items():
                parts = ", ".join(f"{part} {show_ns(ns)}" for part, ns in spent.items())
                total = sum(spent.values())
                rows.append(
                    [Cell(result.setting.name or "all"), Cell(policy), Cell(operation),
                     number(total, show_ns(total)), Cell(parts)]
                )  # fmt: skip
    return Table(
        id="operation-times-table", caption="Mean time of log operations and their parts",
        columns=[("setting", False), ("policy", False), ("operation", False), ("time", True),
                 ("made of", False)],
        rows=rows,
        note="Mean over seeds, all operations of a kind in a run together. The parts sum to the "
        "time exactly.",
    )  # fmt: skip


def fingerprints(outcome: Outcome) -> Table:
    """Return the hash of each policy's first trajectory, by which a repetition is recognised."""
    rows = [
        [Cell(result.setting.name or "all"), Cell(policy), number(runs[0].seed),
         Cell(runs[0].fingerprint)]
        for result in outcome.settings
        for policy, runs in result.runs.items()
    ]  # fmt: skip
    return Table(
        id="fingerprints-table", caption="Fingerprints of the first seed’s trajectories",
        columns=[("setting", False), ("policy", False), ("seed", True), ("fingerprint", False)],
        rows=rows,
        note="The same model on the same settings gives the same fingerprints.",
    )  # fmt: skip


def every_run(outcome: Outcome) -> Iterator[Metrics]:
    """Yield the metrics of all runs."""
    for result in outcome.settings:
        for runs in result.runs.values():
            yield from runs


def mean_ledger(result: SettingResult, policy: str) -> dict[str, float]:
    """Return the mean over seeds of the measured phase's ledger in ns."""
    runs = result.runs[policy]
    return {cause: sum(run.ledger[cause] for run in runs) / len(runs) for cause in CAUSES}


def mean_operation_times(result: SettingResult, policy: str) -> dict[str, dict[str, float]]:
    """Return the mean over seeds of what log operations cost in ns, the largest part first."""
    runs = result.runs[policy]
    means: dict[str, dict[str, float]] = {}
    for operation in runs[0].operation_times:
        parts = {part for run in runs for part in run.operation_times[operation]}
        spent = {
            p: sum(run.operation_times[operation].get(p, 0) for run in runs) / len(runs)
            for p in parts
        }
        means[operation] = dict(sorted(spent.items(), key=lambda item: (-item[1], item[0])))
    return means
