"""The page of evidence on exposure: what each policy of several experiments met in each window."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from mmusim.base.units import show_number
from mmusim.comparison.exposure import differences
from mmusim.experiment import exposure
from mmusim.experiment.run import Outcome, SettingResult

NAMES: Final = {True: "exposure.md", False: "exposure-full-size.md"}
"""The file of the page, by whether only the settings of `[reduced]` were run."""
COLUMNS: Final = {
    "operations_begun": "operations begun", "operations_ended": "ended",
    "pages_armed": "pages armed", "requests": "requests",
}  # fmt: skip

APART: Final = (
    "experiment", "window", "quantity", "comparisons that differ", "largest ratio", "where"
)  # fmt: skip
PAGE: Final = """# {title}

The exposure of each policy in each window: operations on the log that began and ended in it, pages
armed, requests that arrived. Values are means over seeds, as a range over the settings of a file.
{size} Made {by}

    {command}

{met}

## What differs by more than 10 %

Policies are compared with the baseline of their file. Policies without logging are left out, and
differences of less than one page in a run do not count. The length of a phase is no exposure if
every policy makes the same accesses.

{different}

* Migrations and checkpoints: the number of reads of the log follows from the length of a round,
  and the experiments ask about this length.
* `jitter-protect-vs-fault`, `eager-split-or-not`: the windows have one length and one schedule for
  all policies. In the window `enabling` the eager split has not ended, and the experiment asks how
  the guest runs during the split. Pages that were dropped and not touched again are not mapped, so
  a report arms fewer pages. Pages that a read fault maps writable are falsely dirty. These
  experiments ask about both effects.
* `eager-split-or-not`: KVM splits all pages before it write-protects them, and splitting 4 GiB
  takes 86 ms of the 430 ms from the beginning of the enabling to the sync. Writes in this time are
  not logged, so the eager policy reports a fifth fewer truly dirty pages.
* `jitter-protect-vs-fault`: the window `enabling` has one length, and vCPUs that wait longer make
  fewer accesses in it. This is the answer in another unit.
* `ring-or-bitmap`: a vCPU harvests its own full ring, so the report arms fewer pages.
"""


class Apart(NamedTuple):
    """A quantity in which policies met different things in a window of an experiment."""

    where: str
    what: str
    ratio: float
    shown: str


def page(outcomes: Sequence[tuple[str, Outcome]], command: str, size: str, commit: str = "") -> str:
    """Return the page, as Markdown.

    Parameters
    ----------
    outcomes : sequence of (str, Outcome)
        Names of experiments and their evaluated runs.
    command : str
        What makes the page.
    size : str
        What was run: how many seeds and settings, as a sentence.
    commit : str
        The commit of which the runs are. A page of full size names it; the page of reduced size is
        made again by a test.
    """
    tables = (
        _markdown(["experiment", "window", "policy", *COLUMNS.values()], met(outcomes)),
        _markdown(APART, different(outcomes)),
    )
    title = "Exposure of the shipped experiments" + (" at full size" if commit else "")
    by = f"at commit {commit} by" if commit else "by"
    return PAGE.format(
        title=title, size=size, by=by, command=command, met=tables[0], different=tables[1]
    )


def met(outcomes: Iterable[tuple[str, Outcome]]) -> list[list[str]]:
    """Return one row per experiment, window and policy that logs."""
    made = []
    for name, outcome in outcomes:
        by: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in exposure.rows(outcome):
            by.setdefault((row["window"], row["policy"]), []).append(row)
        made += [
            [f"`{name}`", window, f"`{policy}`"]
            + [_range([row[column] for row in rows]) for column in COLUMNS]
            for (window, policy), rows in by.items()
            if any(row["time_with_logging_on"] for row in rows)
            and outcome.experiment.chosen(policy).policy.tracks
        ]
    return made


def different(outcomes: Iterable[tuple[str, Outcome]]) -> list[list[str]]:
    """Return one row per experiment, window and quantity that differs, with its largest ratio."""
    made = []
    for name, outcome in outcomes:
        pairs = [
            (window or outcome.experiment.driver.measure, result, policy)
            for result in outcome.settings
            for window in exposure.windows(result)
            for policy in result.runs
            if policy != outcome.experiment.policies.baseline
        ]
        found = [one for pair in pairs for one in _apart(outcome, *pair)]
        if not found:
            made.append([f"`{name}`", "all", "none", f"0 of {len(pairs)}", "", ""])
        found.sort(key=lambda one: one[:2])
        for (window, what), some in groupby(found, key=lambda one: one[:2]):
            rows = [apart for *_, apart in some]
            worst = max(rows, key=lambda one: one.ratio)
            of = sum(pair[0] == window for pair in pairs)
            ratio = "from 0" if math.isinf(worst.ratio) else f"{worst.ratio:.1f}"
            made.append(
                [f"`{name}`", window, what, f"{len(rows)} of {of}", f"{ratio}: {worst.shown}",
                 worst.where]
            )  # fmt: skip
    return made


def _apart(
    outcome: Outcome, window: str, result: SettingResult, policy: str
) -> list[tuple[str, str, Apart]]:
    baseline = outcome.experiment.policies.baseline
    named = window if window in exposure.windows(result) else ""
    where = f"`{policy}`" + (f", {result.setting.name}" if result.setting.name else "")
    found = []
    for one in differences(result.runs, policy, baseline, named):
        low, high = sorted((one.mine, one.other))
        ratio = high / low if low else math.inf
        shown = "{} against {}".format(*one.shown())
        found.append((window, one.what, Apart(where, one.what, ratio, shown)))
    return found


def _range(values: Sequence[float]) -> str:
    low, high = show_number(min(values)), show_number(max(values))
    return low if low == high else f"{low} to {high}"


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
