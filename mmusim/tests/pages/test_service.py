"""Tables and figures of the service beside a migration, and of the waits in post-copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmusim import plots
from mmusim.base.histogram import Histogram
from mmusim.config.settings import load_file
from mmusim.experiment.run import Outcome, run_experiment
from mmusim.plots.service import waiting_by_time
from mmusim.report.page import render
from mmusim.report.service import blocktime_table, by_length, service_table

TEXT = """
schema = 1
id = "service"
question = "What does a service lose while its guest is migrated?"
answer_by = "p99_request"
[vm]
vcpus = 1
memory = "4MiB"
kernel = "linux-6.13"
[policies]
baseline = "linux-6.13"
compare = ["linux-6.13+legacy"]
[driver]
phases = [{ do = "write" }, { do = "migrate", workload = "shop", LEAD }]
[driver.migration]
bandwidth = "400MB/s"
max-bandwidth = "0B/s"
downtime-limit = "1us"
max_rounds = 3
[replications]
seeds = 2
[workloads.shop]
pattern = "open-loop-requests"
requests = 10
interarrival = "500us"
touches = 4
writes = "50%"
[sweep]
"driver.migration.postcopy_after" = [0, 1]
"""


def outcome_of(folder: Path, lead: str) -> Outcome:
    path = folder / "service.toml"
    path.write_text(TEXT.replace("LEAD", lead))
    return run_experiment(load_file(path), folder / "runs", workers=1, engine="simpy")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return outcome_of(tmp_path_factory.mktemp("service"), 'lead = "5ms", tail = "10ms"')


def test_tables_have_a_row_for_each_policy_that_has_it(outcome: Outcome) -> None:
    rows = service_table(outcome).rows
    assert len(rows) == 4
    for row in rows:
        before, during = (cell.value for cell in row[2:4])
        assert before is not None
        assert during is not None
        assert 0 < during <= 1.1
    waits = blocktime_table(outcome).rows
    assert {row[0].text for row in waits} == {"postcopy_after=1"}
    for row in waits:
        assert sum(cell.value or 0 for cell in row[4:]) > 0


def test_the_report_shows_them(outcome: Outcome) -> None:
    page = render(outcome, [])
    for text in (
        "The service before, during and after the migration", "service-table", "blocktime-table",
        "Waits for pages of the source in post-copy",
    ):  # fmt: skip
        assert text in page


def test_figures_are_drawn_where_there_is_something(outcome: Outcome, tmp_path: Path) -> None:
    assert len([ax for ax in plots.service(outcome).axes if ax.lines]) == 2
    assert len(plots.postcopy_waits(outcome).axes) == 1, "only the setting with post-copy"
    bare = outcome_of(tmp_path, 'shared = "0%"')
    assert service_table(bare).rows == []
    assert "service-table" not in render(bare, [])
    with pytest.raises(ValueError, match="lead or a tail"):
        plots.service(bare)


def test_a_line_shows_the_most_of_each_step(outcome: Outcome) -> None:
    run = next(iter(outcome.settings[0].runs.values()))[0]
    x, y = waiting_by_time(run)
    assert min(x) < 0 < max(x)
    assert max(y) == run.values["most_waiting"]


def test_waits_are_counted_by_length() -> None:
    waits = Histogram()
    waits.add(np.array([10, 50_000, 200_000, 3_000_000, 3_000_000, 10**9]))
    assert by_length(waits).tolist() == [2, 1, 2, 0, 1]
