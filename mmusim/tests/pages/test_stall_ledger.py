"""The stall ledger of migrations in a report: it closes, and stands only where there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmusim import plots
from mmusim.experiment.run import Outcome
from mmusim.report.stall_ledger import GROUPS, LOCK, parts, stall_ledger
from mmusim.tests.support.experiment_files import SMALL
from mmusim.tests.support.reports import report_of
from mmusim.vocabulary.causes import LOST_CAUSES

MIGRATES = (
    SMALL.replace(
        '"read" }]',
        '"migrate", workload = "w" }]\n[driver.migration]\nbandwidth = "100MB/s"\n'
        'max-bandwidth = "0B/s"\ndowntime-limit = "0ns"\npostcopy_after = 1\n'
        '[workloads.w]\npattern = "uniform"\nwrites = "20%"\naccesses_per_page = 1.0',
    )
    .replace('{ do = "enable-logging" }, ', "")
    .replace("seeds = 5", "seeds = 2")
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    return report_of(tmp_path_factory.mktemp("stalls"), MIGRATES)


def test_every_lost_cause_is_in_one_group() -> None:
    causes = [LOCK, *(cause for group in GROUPS.values() for cause in group)]
    assert sorted(causes) == sorted(LOST_CAUSES)


def test_the_parts_sum_to_what_is_lost(made: tuple[Outcome, Path]) -> None:
    for result in made[0].settings:
        for runs in result.runs.values():
            for run in runs:
                lost = parts(run.ledger, run.values["lock_wait_for_log"])
                assert sum(lost.values()) == run.values["lost_time"]
                assert min(lost.values()) >= 0
                assert lost["post-copy"] > 0


def test_a_row_sums_to_its_total(made: tuple[Outcome, Path]) -> None:
    table = stall_ledger(made[0])
    names = [name for name, _ in table.columns]
    first, end = names.index("lost in all"), names.index("pages in vain")
    assert "post-copy" in names[first:end]
    for row in table.rows:
        total, *some = [cell.value or 0.0 for cell in row[first:end]]
        assert total == pytest.approx(sum(some))
        assert row[names.index("postcopy blocktime")].value is not None
    assert "What the migrations cost the guest" in made[1].read_text()


def test_what_was_sent_in_vain_is_drawn(made: tuple[Outcome, Path]) -> None:
    outcome = made[0]
    runs = [run for result in outcome.settings for rows in result.runs.values() for run in rows]
    figure = plots.in_vain(outcome)
    drawn = sum(np.asarray(line.get_ydata()).sum() for ax in figure.axes for line in ax.lines)
    assert drawn == sum(run.values["sent_in_vain"] for run in runs) > 0


def test_without_a_migration_there_is_none(tmp_path: Path) -> None:
    """Negative control."""
    outcome, page = report_of(tmp_path / "none", SMALL.replace("seeds = 5", "seeds = 2"))
    assert not stall_ledger(outcome).rows
    assert "What the migrations cost the guest" not in page.read_text()
