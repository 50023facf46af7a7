"""The answers of an experiment in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import isinf
from typing import Any, Final

from mmusim.analysis.answers import compared
from mmusim.comparison.compare import Comparison
from mmusim.experiment.exposure import refusal
from mmusim.experiment.run import Outcome
from mmusim.metrics.few_beyond import FEW
from mmusim.report.across_settings import CENSORED, caveats, contrasts_of, marked, sentence
from mmusim.stats import Interval
from mmusim.vocabulary.amount import amount as amount

MOST_SENTENCES: Final = 8
"""With more comparisons than this there is one summary per policy. The tables have every
setting.
"""
VERDICTS: Final = ("supported", "refuted", "inconclusive")

Found = tuple[str, Comparison]  # the name of the setting, and its result


def answers(outcome: Outcome) -> list[str]:
    """Return the answer of the experiment by its main metric, with intervals.

    The first sentence is the answer: of the only comparison, or a summary of all settings for the
    first policy. A sentence for each comparison follows, or a summary of each other policy.
    """
    metric = outcome.experiment.answer_by
    by_setting = compared(outcome, metric)
    found = [(name, c) for name, rows in by_setting.items() for c in rows]
    refused = [
        f"{where + ': ' if where else ''}There is no verdict on {c.candidate}: {why}"
        for where, c in found
        if (why := _refusal(outcome, where, c.candidate))
    ]
    found = [(name, c) for name, c in found if not _refusal(outcome, name, c.candidate)]
    if refused:
        few = refused[:MOST_SENTENCES]
        more = [f"Nor in {len(refused) - len(few)} more comparisons"] if few != refused else []
        said = found[:MOST_SENTENCES]
        return [*few, *more, *(_sentence(name, c) for name, c in said), *_beware(said)]
    if not found:
        across = contrasts_of(outcome)
        if across:
            marks = [CENSORED] if any(one.censored for one in across) else []
            marks += [f"Beware: {line.rstrip('.')}" for line in caveats(across)[:1]]
            return [*(sentence(one) for one in across[:MOST_SENTENCES]), *marks]
        return [f"No setting has runs that all have {metric}"] if outcome.settings else []
    marks = _beware(found)
    if len(found) == 1:
        return [_sentence(*found[0]), *marks]
    policies = outcome.experiment.policies.compare
    mine = {p: [(name, c) for name, c in found if c.candidate == p] for p in policies}
    summaries = [_summary(rows) for rows in mine.values() if len(rows) > 1]
    if len(found) <= MOST_SENTENCES:
        return [*summaries[:1], *(_sentence(name, c) for name, c in found), *marks]
    return [*summaries, *marks]


def _beware(found: Sequence[Found]) -> list[str]:
    """Say what the mark of metrics in the sentences means, where one has it."""
    return [f"Beware: {FEW}: {c.caveat}" for _, c in found if c.caveat][:1]


def _refusal(outcome: Outcome, name: str, candidate: str) -> str:
    """Say why there is no verdict on a policy in the setting of that name; empty: there is one."""
    result = next(r for r in outcome.settings if (r.setting.name or "") == name)
    return refusal(result, candidate)


def _sentence(name: str, c: Comparison) -> str:
    """Say what one comparison found."""
    where = f"{name}: " if name else ""
    seeds = f"{c.baseline_mean.seeds} paired seeds"
    if c.ratio is None:
        d = c.difference
        spread = f"{amount(c.metric, d.low)} to {amount(c.metric, d.high)} at "
        spread += f"{100 * d.confidence:.4g} %"
        spread = spread if d.exists else "no interval"
        return (
            f"{where}{marked(c.metric, c.caveat)} of {c.candidate} differs from that of "
            f"{c.baseline} by {amount(c.metric, d.estimate)} "
            f"({spread}; {c.answer}, {seeds}{_on_hosts(c)})"
        )
    change = f"{(c.ratio.estimate - 1) * 100:+.1f} %, {c.answer}, {seeds}{_on_hosts(c)}"
    if c.metric == "phase_time":
        verb = f"{c.candidate} takes {_span(c.ratio)} times as long as {c.baseline}"
        return f"{where}{verb} ({change})"
    return (
        f"{where}{marked(c.metric, c.caveat)} of {c.candidate} is {_span(c.ratio)} times that of "
        f"{c.baseline} ({change})"
    )


def _on_hosts(c: Comparison) -> str:
    """Say on how many hosts the outcome is the same, and how far hosts lie apart.

    Empty: none was tried, or the outcome is unknown.
    """
    found = c.over_hosts
    if found is None or c.answer.outcome == "unknown":
        return ""
    text = f"; the same {found.phrase}"
    if not found.is_known or isinf(found.low):
        return text
    low, high = (
        f"{bound:.4g}" if c.ratio else amount(c.metric, bound) for bound in (found.low, found.high)
    )
    return f"{text}; 95 of 100 hosts have {low} to {high}"


def _span(ratio: Interval) -> str:
    if not ratio.exists:
        return f"{ratio.estimate:.4g}"
    sure = f"{100 * ratio.confidence:.4g} %"
    return f"{ratio.estimate:.4g} ({ratio.low:.4g} to {ratio.high:.4g} at {sure})"


def _summary(mine: Sequence[Found]) -> str:
    """Sum up what one policy does in all settings."""
    _, first = mine[0]
    counts: Counter[str] = Counter(_direction(c) for _, c in mine)
    ratios = [(name, c.ratio) for name, c in mine if c.ratio is not None]
    parts = ", ".join(f"{word} in {count}" for word, count in counts.items())
    metric = marked(first.metric, next((c.caveat for _, c in mine if c.caveat), ""))
    text = f"Against {first.baseline}, {metric} of {first.candidate} is {parts} of "
    text += f"{len(mine)} settings"
    held = [c.over_hosts for _, c in mine if c.over_hosts and c.answer.outcome != "unknown"]
    known = [one for one in held if one.is_known]
    if known:
        lowest = min(known, key=lambda one: one.holds.estimate)
        text += f"; each is the same {lowest.phrase}, or on more"
    if not ratios:
        return text
    low = min(ratios, key=lambda r: r[1].estimate)
    high = max(ratios, key=lambda r: r[1].estimate)
    return (
        f"{text}; the ratio ranges from {_span(low[1])} with {low[0] or 'all'} to {_span(high[1])} "
        f"with {high[0] or 'all'}"
    )


def _direction(c: Comparison) -> str:
    """Return what a comparison says, with the direction if it has one."""
    said = c.answer
    margin = f"{100 * said.matters:.3g} %"
    if said.outcome == "unknown":
        return "unknown"
    if said.outcome == "equivalent":
        return f"equivalent within {margin}"
    way = "higher" if c.difference.estimate > 0 else "lower"
    return f"{way} ({said.outcome}{f', by less than {margin}' if said.small else ''})"


def verdict_counts(outcome: Outcome) -> dict[str, int]:
    """Return how many verdicts there are of each kind, over all claims and settings."""
    counts = Counter(v.outcome for v in outcome.verdicts)
    return {kind: counts[kind] for kind in VERDICTS}


def stories(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """Yield the story of each setting that has one, with the policies that share it."""
    for result in outcome.settings:
        by_story: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for policy, runs in result.runs.items():
            by_story.setdefault((runs[0].outcome, runs[0].story), []).append(policy)
        for (end, lines), names in by_story.items():
            if lines:
                title = f"{result.setting.name or 'all'}, {' and '.join(names)}: {end}"
                yield {"title": title, "lines": lines}
