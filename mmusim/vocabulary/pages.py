"""The reference pages of the vocabularies, in Markdown.

``mmusim vocabulary --to docs/reference`` writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any, Final

from mmusim.vocabulary.causes import CAUSES
from mmusim.vocabulary.cost import COSTS, Written
from mmusim.vocabulary.counters import COUNTERS
from mmusim.vocabulary.metric import METRICS, Metric, Scope
from mmusim.vocabulary.terms import Better, Term, Vocabulary

GENERATED: Final = (
    "<!-- Generated from mmusim/vocabulary; print it with mmusim vocabulary --to FOLDER. -->"
)

VOCABULARIES: Final[Mapping[str, Vocabulary[Any]]] = {
    "causes": CAUSES, "counters": COUNTERS, "costs": COSTS, "metrics": METRICS,
}  # fmt: skip
"""By the names that `mmusim vocabulary` takes."""


def rows(vocabulary: str) -> list[dict[str, str]]:
    """Return every term of a vocabulary as a row of plain text, for tables and JSON."""
    return [_row(term) for term in VOCABULARIES[vocabulary].values()]


def _row(term: Any) -> dict[str, str]:
    row = {"name": term.name, "unit": unit_of(term), "better": term.better.value}
    row["meaning"] = term.meaning
    for key in ("kind", "scope"):
        if hasattr(term, key):
            row[key] = getattr(term, key).value
    if hasattr(term, "formula"):
        row["formula"] = term.formula
    if hasattr(term, "default"):
        row["default"] = written(term.default)
    return row | {"source": term.source}


def unit_of(term: Term) -> str:
    """Return the unit of a term for people. The unit of a cost says for what it is paid."""
    per = getattr(term, "per", "")
    return f"{term.unit} per {per}" if per else term.unit


def written(cost: Written) -> str:
    """Write a distribution in one line, as an inline table of TOML."""
    if isinstance(cost, str):
        return cost
    return _inline(cost)


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_inline(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def metrics_page() -> str:
    """Return the reference of metrics."""
    parts = [_METRICS_HEAD]
    for scope in Scope:
        metrics = [metric for metric in METRICS.values() if metric.scope is scope]
        parts.append(f"## Of {scope.value}\n\n" + _table(_METRIC_COLUMNS, _grouped(metrics)))
    return "\n\n".join([GENERATED, *parts, _METRICS_TAIL]) + "\n"


def _grouped(metrics: Iterable[Metric]) -> list[list[str]]:
    """Put the metrics that one formula describes into one row."""

    def same(metric: Metric) -> tuple[str, ...]:
        return metric.formula, metric.unit, metric.better.value, metric.meaning, metric.source

    return [
        [" ".join(f"`{metric.name}`" for metric in group), key[1], *key[2:3], key[0], *key[3:]]
        for key, group in groupby(metrics, same)
    ]


def costs_page() -> str:
    """Return the reference of costs."""
    body = [
        [f"`{c.name}`", unit_of(c), f"`{written(c.default)}`", c.meaning, c.source]
        for c in COSTS.values()
    ]
    head = ["name", "unit", "default", "meaning", "source of the default"]
    return "\n\n".join([GENERATED, _COSTS_HEAD, _table(head, body)]) + "\n"


def ledger_page() -> str:
    """Return the reference of causes and counters."""
    causes = [
        [f"`{c.name}`", c.kind.value, "yes" if c.is_fault_work else "", c.meaning, c.source]
        for c in CAUSES.values()
    ]
    counters = [[f"`{c.name}`", _better(c.better), c.meaning, c.source] for c in COUNTERS.values()]
    return (
        "\n\n".join(
            [
                GENERATED,
                _LEDGER_HEAD,
                _table(["cause", "kind", "fault work", "meaning", "source"], causes),
                _COUNTERS_HEAD,
                _table(["counter", "better", "meaning", "source"], counters),
            ]
        )
        + "\n"
    )


def _better(better: Better) -> str:
    return "" if better is Better.NEITHER else better.value


def _table(head: list[str], body: Iterable[list[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *body))


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "metrics.md": metrics_page, "costs.md": costs_page, "ledger.md": ledger_page,
}  # fmt: skip
"""Reference pages by file name."""

_METRIC_COLUMNS: Final = ["name", "unit", "better", "formula", "tells", "source"]

_METRICS_HEAD: Final = """\
# Metrics

A metric is one number of one run. Runs are compared over paired seeds. Every name can stand in a
claim (`metric = "worst_utilisation_1ms"`) and is a column of `mmusim export`. A run that has no
such thing has no value: there are no request latencies without a workload of requests.

The time of a vCPU is divided among [causes](ledger.md). From leaving the guest to entering it again
is a **stall**, so the sum of all stalls is the sum of the lost causes, to the nanosecond.

Means, sums and maxima are exact. A quantile is off by at most 1/128 of its value and 1 ns, whatever
the number of accesses: a histogram has 8,192 bins. Sources are sections of the
[domain reference](../domain.md)."""

_METRICS_TAIL: Final = """\
## Reading them

`max_latency` and `max_stall` grow with the length of a run: compare runs of one length.
`worst_utilisation` sees what quantiles do not: many short stalls in a row. A policy can have the
better p99.9 and the worse 10 ms. `moved_work` says where work is done, not how much: read it beside
`lost_time`."""

_COSTS_HEAD: Final = """\
# Costs

A cost is the time of one operation of guest, host or VMM. A
[host profile](../how-to/calibrate.md) gives each cost a distribution and says where it comes from:
`measured`, `published`, `derived` or `assumed`. A cost that a profile leaves out takes the default
below, its provenance is `assumed`, and a notice names it. The defaults are reference values for a
server of 2.7 GHz. Sources are sections of the [domain reference](../domain.md)."""

_LEDGER_HEAD: Final = """\
# Ledger and counters

The **ledger** says where the time of vCPUs goes: one row of nanoseconds for each cause. The rows of
a phase sum to the time of its vCPUs. A cause is

* *useful*: the vCPU is in guest mode, and the guest makes progress, slower or faster;
* *idle*: the guest has nothing to do and could run;
* *lost*: the guest has something to do and is kept from it.

Lower is better for every lost cause. *Fault work* is counted in the metric `fault_work`."""

_COUNTERS_HEAD: Final = """\
## Counters

Counters have the kernel's own names (`kvm_stat`: KVM's binary statistics) where the kernel has
them."""
