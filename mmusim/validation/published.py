"""Published times: each value of the table, with the simulated run that it describes.

The table has one line for a pair of values, before and after a change. Setups are in the words of
their authors. :func:`read` understands those of dirty_log_perf_test, and gives the reason why all
others are not predicted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final, NamedTuple

from mmusim.base.errors import ConfigError
from mmusim.base.inputs import read_text
from mmusim.base.parsing import parse_csv

COLUMNS: Final = (
    "id", "metric", "setup", "policy_before", "value_before", "policy_after", "value_after", "unit",
)  # fmt: skip
BEFORE_TDP_MMU: Final = "2020-12"
"""Linux 5.10 brought it. Earlier postings without a mention did not have it."""
ONLY_HUGE: Final = "write-protect huge pages only"
"""What a kernel before 5.14 does when logging is switched on with all bits set; the values before
and after that change (E1) are of one guest, which has small pages.
"""
TABLE: Final = Path(__file__).with_name("published.csv")
SECONDS: Final = {"s": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


class Run(NamedTuple):
    """The run that a value describes: a setting of dirty_log_perf_test and a policy."""

    policy: str
    vcpus: int
    gib: int  # per vCPU
    backing: str
    writes: int  # percent
    rounds: int = 2
    all_set: bool = False
    running: bool = False  # vCPUs run while logging is switched off


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedValue:
    """One published value."""

    id: str  # of its source
    metric: str
    setup: str
    variant: str  # the policy as it was published
    seconds: float
    run: Run | None  # None: the model does not predict it
    phase: str = ""  # whose time it is
    why_not: str = ""

    @property
    def label(self) -> str:
        """Name the value in a message."""
        return f"{self.id} {self.metric}, {self.setup}, {self.variant}"


def read(path: Path = TABLE) -> list[PublishedValue]:
    """Read a table of published values.

    Raises
    ------
    ConfigError
        If there is no such file, it lacks a column, or a value is not a number.
    """
    head, *rows = parse_csv(read_text(path), str(path)) or [[]]
    missing = [name for name in COLUMNS if not rows or name not in head]
    if missing:
        raise ConfigError.of(
            str(path), "columns", None, f"lacks {', '.join(missing)}",
            f"write a CSV file with the columns {', '.join(COLUMNS)}",
        )  # fmt: skip
    lines = [dict(zip_longest(head, row[: len(head)], fillvalue="")) for row in rows]
    values: dict[tuple[str, ...], PublishedValue] = {}
    for number, line in enumerate(lines, 2):
        for value in _values(line, f"{path} line {number}"):
            key = value.id, value.metric, value.setup, value.variant, str(value.seconds)
            values.setdefault(key, value)  # a value before two changes is listed twice
    return list(values.values())


def _values(line: dict[str, str], where: str) -> Iterator[PublishedValue]:
    for when in ("before", "after"):
        text, variant = line[f"value_{when}"].strip(), line[f"policy_{when}"].strip()
        if not text or text.startswith("about"):
            continue
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not 0 <= number < math.inf:
            raise ConfigError.of(where, f"value_{when}", text, "is not a number", "write e.g. 0.25")
        unit = line["unit"].strip()
        head = {
            "id": line["id"], "metric": line["metric"], "setup": line["setup"], "variant": variant,
            "seconds": number * SECONDS.get(unit, 1.0),
        }  # fmt: skip
        phase = phase_of(line["metric"])
        why = _not_ours(line["setup"], variant, line["metric"], phase, unit)
        run = None
        if not why:
            run = run_of(line["setup"], variant, line["metric"], line.get("date", ""))
        yield PublishedValue(**head, run=run, phase=phase, why_not=why)  # type: ignore[arg-type]


def phase_of(metric: str) -> str:
    """Return the phase of the test whose time a metric is, or nothing."""
    metric = metric.lower().removesuffix(" time")
    if metric.startswith("populate"):
        return "populate memory"
    if metric.startswith("first pass dirty memory"):
        return "iteration 1 dirty memory"
    if metric in ("eager split of a memslot", "memory_global_dirty_log_start", "log start"):
        return "enabling dirty logging"
    if re.fullmatch(r"iteration [0-9]+ (dirty memory|get dirty log|clear dirty log)", metric):
        return metric
    return metric if metric in ("enabling dirty logging", "disabling dirty logging") else ""


def _not_ours(setup: str, variant: str, metric: str, phase: str, unit: str) -> str:
    """Return the reason why a value is not predicted; empty if it is."""
    if re.search(r"Kunpeng|Ampere", setup):
        return "an Arm host"
    if metric == "writing to idle memory":
        return "access_tracking_perf_test, which clears accessed bits"
    if unit not in SECONDS or not phase:
        return "not a time of dirty_log_perf_test or of a log operation"
    return ""


def run_of(setup: str, variant: str, metric: str, date: str = "") -> Run:
    """Understand a setup and the name of a policy as published, and their date.

    Unmentioned options have the test's defaults, or the values that the reading guide of the table
    gives.
    """
    mmu = _mmu(setup, variant, date)
    pml = mmu != "shadow" and "pml=N" not in setup
    vm = re.search(r"([0-9.]+) ?(G|T)i?B? ?(?:Windows VM|VM|guest|memslot)", setup)
    percent = re.search(r"([0-9]+)% writes", setup)
    if vm is not None:
        vcpus, gib = 1, round(float(vm[1]) * (1024 if vm[2] == "T" else 1))
    else:
        vcpus = int(_first(r"([0-9]+) ?vcpu|-v ?([0-9]+)", setup, "1"))
        gib = int(_first(r"x ?([0-9]+) ?gi?b|-b ?([0-9]+)g", setup, "1"))
    return Run(
        policy=_policy(setup, variant, mmu) + ("+pml" if pml else ""),
        vcpus=vcpus,
        gib=gib,
        backing=_backing(setup, variant, metric),
        writes=int(percent[1]) if percent else 100,
        rounds=max(2, int(_first(r"iteration ([0-9]+)", metric, "2"))),
        all_set="initially-all-set" in f"{setup} {variant}" or _by_default_all_set(setup, metric),
        running=" -e" in setup,
    )


def _first(pattern: str, text: str, default: str) -> str:
    found = re.search(pattern, text, re.IGNORECASE)
    return default if found is None else next(group for group in found.groups() if group)


def _mmu(setup: str, variant: str, date: str) -> str:
    if "ept=N" in setup:
        return "shadow"
    text = f"{setup} {variant}"
    off = "TDP MMU off" in text or "tdp_mmu=N" in text
    before = "" < date < BEFORE_TDP_MMU and "tdp_mmu=Y" not in text
    return "legacy" if off or before else "tdp"


def _policy(setup: str, variant: str, mmu: str) -> str:
    """The kernel of that time, the MMU, and the treatment of large sptes."""
    eager = "eager_page_split=Y" in variant or "eager split in ioctl" in variant
    if mmu == "legacy" and "spinlock" in variant:
        return "linux-5.11+legacy+lazy-drop"
    if mmu == "legacy" and ONLY_HUGE in variant:
        return "linux-5.7+legacy+lazy-drop"  # 3c9bd4006bfc
    if mmu in ("legacy", "shadow"):  # the postings are of the series that splits through the rmap
        return f"linux-5.17+{mmu}+{'eager_page_split-legacy' if eager else 'lazy-drop'}"
    if "split on fault" in variant:
        return "linux-6.2+split-on-fault"
    if "under read lock" in variant:
        return "linux-5.14+tdp+lazy-drop"  # before its fast path
    if "flush per region" in variant:
        return "linux-6.12"
    if "batched flush" in variant:
        return "linux-6.13"
    by_default = not re.search(
        r"eager_page_split=N|no eager split|lockless|memslot", variant + setup
    )
    release = "6.4" if "atomic bit clear" in variant else "6.1"  # 89c313f20c1e
    return f"linux-{release}+{'eager_page_split' if eager or by_default else 'lazy-drop'}"


def _backing(setup: str, variant: str, metric: str) -> str:
    """1 GiB, unless the text gives it or quotes a full command line."""
    text = f"{setup} {variant}"
    if "hugetlb_2mb" in text or "memslot" in setup:
        return "2MiB"
    quoted = metric.startswith("populate") and "dirty_log_perf_test -v" in setup
    small = "4KiB backing" in text or "leaf sptes" in text or ONLY_HUGE in text or quoted
    return "4KiB" if small else "1GiB"


def _by_default_all_set(setup: str, metric: str) -> bool:
    """The test asks for it. First passes without it stand in a table of both."""
    if "clear dirty log" in metric.lower():
        return True
    whole_test = re.search(r"160 vCPU|hugetlb_2mb", setup) is not None
    return whole_test and "populate" not in metric
