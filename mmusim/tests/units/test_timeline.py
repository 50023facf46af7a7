"""The timeline: its slices are the vCPUs' time, its file is one that the Perfetto UI opens."""

from __future__ import annotations

import copy
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from mmusim import plots
from mmusim.engine import simulate
from mmusim.plan.make import Plan, make_plan
from mmusim.policies import Policy
from mmusim.store.provenance import model_version
from mmusim.tests.support.command_line import mmusim_here
from mmusim.tests.support.experiment_files import MINIMAL
from mmusim.tests.support.migrations import migrating
from mmusim.tests.support.places import DATA
from mmusim.tests.support.settings import BusyRun, busy_setting, only, setting
from mmusim.timeline.perfetto import trace_events, write
from mmusim.timeline.record import GUEST, Hold, Slice, Timeline, held, queue_lengths, record
from mmusim.trace.records import HOST, PhaseTrace
from mmusim.vocabulary.causes import LOST_CAUSES

Plans = Callable[[Policy | str, int], Plan]
SCHEMA = json.loads((DATA / "trace_event.schema.json").read_text())


def gaps(lane: Iterable[Slice]) -> list[tuple[int, int]]:
    """Where a lane does not go on where it was: pairs of instants."""
    slices = list(lane)
    return [
        (one.end_ns, other.start_ns)
        for one, other in pairwise(slices)
        if one.end_ns != other.start_ns
    ]


def sums(lanes: Iterable[Iterable[Slice]]) -> Counter[str]:
    total = Counter[str]()
    for lane in lanes:
        for s in lane:
            assert sum(s.causes.values()) == s.end_ns - s.start_ns
            total.update(s.causes)
    return total


def charged(phases: Iterable[PhaseTrace]) -> Counter[str]:
    return sum((Counter(p.ledger) for p in phases if p.guest), Counter())


# --- the slices ----------------------------------------------------------------------------------


def test_slices_tile_the_time_of_every_vcpu_and_sum_to_the_ledger(
    busy_run: BusyRun,
) -> None:
    """To the nanosecond and cause; the only gaps are between guest phases."""
    found, trace = record(busy_run.plan), busy_run.trace
    assert sums(found.vcpus) == charged(trace.phases)
    first, busy = (p for p in trace.phases if p.guest)
    for lane in found.vcpus:
        assert all(end <= first.end_ns and begin == busy.start_ns for end, begin in gaps(lane))
        assert lane[0].start_ns == first.start_ns
        assert len(gaps(lane)) <= 1


def test_a_dropped_slice_is_noticed(plans: Plans) -> None:
    """Negative control."""
    plan = plans("eager-drop", 1)
    found, trace = record(plan), simulate(plan)
    lane = found.vcpus[0]
    shorter = [*lane[:50], *lane[51:]]
    assert len(gaps(shorter)) == len(gaps(lane)) + 1
    assert sums([shorter, *found.vcpus[1:]]) != charged(trace.phases)


@pytest.mark.parametrize("run_limit", [1, 1 << 16])
def test_requests_with_think_time_and_idling_tile_as_well(run_limit: int) -> None:
    it = {"pattern": "open-loop-requests", "requests": 400, "touches": 4, "interarrival": "5us"}
    phases = [
        {"do": "enable-logging"},
        {"do": "write"},
        {"do": "run", "workload": "it", "think": "70ns", "background": True},
        *[{"do": "sleep", "time": "150us"}, {"do": "sync-dirty-log"}] * 3,
    ]
    plan = make_plan(setting(phases, workloads={"it": it}, vcpus=2), "lazy-drop", 1)
    trace, found = simulate(plan, run_limit=run_limit), record(plan)
    assert sums(found.vcpus) == charged(trace.phases)
    assert all(len(gaps(lane)) <= 1 for lane in found.vcpus)
    states = {s.state for lane in found.vcpus for s in lane}
    assert {GUEST, "idle", "fault_slow", "flush_exit"} <= states


@pytest.mark.parametrize(
    ("policy_name", "setting", "state"),
    [
        ("linux-6.13", {}, "paused"),
        ("linux-6.13+pml", {"auto-converge": True, "max_rounds": 10, "think": "5us"}, "throttle"),
        ("linux-6.13", {"postcopy_after": 1, "think": "50us"}, "postcopy_wait"),
        ("linux-6.13", {"io_interval": "200us", "max_rounds": 2}, "user_exit"),
    ],
)
def test_migrations_tile_and_lose_what_the_ledger_says(
    policy_name: str, setting: dict[str, Any], state: str
) -> None:
    """Whatever keeps a vCPU out of the guest, the switch-over and a guest that is gone included."""
    plan = migrating(policy_name, **setting)
    trace, found = simulate(plan), record(plan)
    assert sums(found.vcpus) == charged(trace.phases)
    assert all(len(gaps(lane)) <= 1 for lane in found.vcpus)
    assert state in {s.state for lane in found.vcpus for s in lane}
    for phase in trace.phases:
        if phase.guest:
            assert phase.stalls.total_ns == sum(phase.ledger[cause] for cause in LOST_CAUSES)
    data = as_file(found)
    jsonschema.validate(data, SCHEMA)
    assert do_not_nest(data["traceEvents"]) == []
    rounds = [e["name"] for e in data["traceEvents"] if e["name"].startswith("round")]
    assert len(rounds) == sum(len(p.migration.rounds) for p in trace.phases if p.migration)


def test_waiting_for_the_lock_is_seen_by_the_vcpu_and_by_the_lock(plans: Plans) -> None:
    """Two reports of the same waits: from the ledger's side and from the lock's."""
    found = record(plans("eager-drop", 3))
    by_vcpu = {
        (number, s.start_ns, s.end_ns)
        for number, lane in enumerate(found.vcpus)
        for s in lane
        if s.state == "mmu_lock_wait"
    }
    by_lock = {(h.who, h.asked_ns, h.got_ns) for h in found.holds if h.got_ns > h.asked_ns}
    assert by_vcpu == {wait for wait in by_lock if wait[0] != HOST}
    assert len(by_vcpu) > 10


def test_the_queue_of_the_timeline_has_the_area_of_the_lock(plans: Plans) -> None:
    plan = plans("eager-drop", 3)
    steps = list(queue_lengths(record(plan).holds))
    area = sum(
        length * (until - at)
        for (at, length), (until, _) in pairwise(steps)
    )  # fmt: skip
    assert area == simulate(plan).lock.queue_ns > 0
    assert steps[-1][1] == 0


def test_recording_does_not_change_the_run(plans: Plans) -> None:
    plan = plans("linux-6.13+pml", 2)
    assert record(plan).phases == simulate(plan).phases


# --- mmu_lock ------------------------------------------------------------------------------------


def test_readers_together_are_one_and_writers_are_alone() -> None:
    holds = [
        Hold(0, 0, 0, 10, True), Hold(1, 5, 5, 20, True), Hold(2, 7, 20, 30, False),
        Hold(0, 22, 30, 35, True), Hold(1, 40, 40, 45, True),
    ]  # fmt: skip
    assert list(held(holds)) == [
        (0, 20, (0, 1), True), (20, 30, (2,), False), (30, 35, (0,), True), (40, 45, (1,), True),
    ]  # fmt: skip


def test_the_lock_is_never_held_twice(plans: Plans) -> None:
    spans = list(held(record(plans("linux-6.13", 1)).holds))
    assert all(one.end_ns <= other.start_ns for one, other in pairwise(spans))
    assert {span.shared for span in spans} == {True, False}


# --- a part of a run -----------------------------------------------------------------------------


def test_a_part_of_a_run_has_what_overlaps_it(plans: Plans) -> None:
    plan = plans("eager-drop", 1)
    whole, part = record(plan), record(plan, start_ns=300_000, end_ns=400_000)
    for lane, piece in zip(whole.vcpus, part.vcpus, strict=True):
        inside = [s for s in lane if s.end_ns > 300_000 and s.start_ns < 400_000]
        assert [s[1:3] for s in piece][1:] == [s[1:3] for s in inside][1:]
        assert not gaps(piece)
    assert 0 < len(part.holds) < len(whole.holds)
    assert part.left_out == ""


def test_what_there_was_no_room_for_is_named(plans: Plans) -> None:
    plan = plans("eager-drop", 1)
    whole, little = record(plan), record(plan, most=500)
    assert "500 records: what begins after" in little.left_out
    assert little.end_ns < whole.end_ns
    for lane, piece in zip(whole.vcpus, little.vcpus, strict=True):
        assert [s.start_ns for s in piece] == [
            s.start_ns for s in lane if s.start_ns < little.end_ns
        ]
    kept = sum(map(len, little.vcpus)) + len(little.holds) + len(little.readings)
    assert 500 <= kept <= 500 + 3 * len(little.vcpus)


# --- trace events --------------------------------------------------------------------------------


def do_not_nest(events: Iterable[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pairs of slices of one track that overlap and do not nest, in whole nanoseconds."""
    tracks = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            start = round(event["ts"] * 1000)
            end = start + round(event["dur"] * 1000)
            tracks[event["pid"], event["tid"]].append((start, -end, event))
    wrong = []
    for track in tracks.values():
        opened: list[tuple[int, dict[str, Any]]] = []
        for start, end, event in sorted(track, key=lambda row: row[:2]):
            while opened and opened[-1][0] <= start:
                opened.pop()
            if opened and -end > opened[-1][0]:
                wrong.append((opened[-1][1], event))
            opened.append((-end, event))
    return wrong


def as_file(timeline: Timeline) -> dict[str, Any]:
    return json.loads(json.dumps(trace_events(timeline)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "policy_name", ["eager-drop", "linux-6.13", "linux-6.13+pml", "dirty-ring", "none"]
)
def test_the_file_is_a_trace_that_the_schema_allows(plans: Plans, policy_name: str) -> None:
    found = record(plans(policy_name, 1), most=4_000)
    data = as_file(found)
    jsonschema.validate(data, SCHEMA)
    assert do_not_nest(data["traceEvents"]) == []
    slices = [e for e in data["traceEvents"] if e["ph"] == "X" and e["pid"] == 1]
    starts = [s.start_ns for lane in found.vcpus for s in lane]
    assert [round(e["ts"] * 1000) for e in slices] == starts, "to the nanosecond"
    names = {e["args"]["name"] for e in data["traceEvents"] if e["name"] == "thread_name"}
    assert names == {"vCPU 0", "vCPU 1", "vCPU 2", "vCPU 3", "host thread", "mmu_lock"}
    counters = {e["name"] for e in data["traceEvents"] if e["ph"] == "C"}
    assert {"pages_4k", "pages_2m", "dirty"} <= counters


@pytest.mark.parametrize(
    "change",
    [
        lambda event: event.pop("ts"),
        lambda event: event.pop("name"),
        lambda event: event.update(ph="Z"),
        lambda event: event.update(dur=-1),
        lambda event: event.update(ts="1 us"),
    ],
)
def test_the_schema_refuses_what_is_no_event(
    plans: Plans, change: Callable[[dict[str, Any]], object]
) -> None:
    """Negative control."""
    data = copy.deepcopy(as_file(record(plans("eager-drop", 1), most=200)))
    change(next(e for e in data["traceEvents"] if e["ph"] == "X"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, SCHEMA)


def test_slices_that_overlap_are_noticed(plans: Plans) -> None:
    """Negative control."""
    events = as_file(record(plans("eager-drop", 1), most=200))["traceEvents"]
    next(e for e in events if e["ph"] == "X")["dur"] += 0.001
    assert do_not_nest(events)


def test_a_file_that_ends_in_gz_is_packed(plans: Plans, tmp_path: Any) -> None:
    found = record(plans("eager-drop", 1), most=200)
    write(found, tmp_path / "plain", packed=False)
    write(found, tmp_path / "packed", packed=True)
    plain = json.loads((tmp_path / "plain").read_text())
    assert json.loads(gzip.decompress((tmp_path / "packed").read_bytes())) == plain
    assert plain["otherData"]["left out"] == found.left_out


# --- the figure ----------------------------------------------------------------------------------


def test_the_figure_has_a_lane_a_vcpu_and_a_colour_a_state() -> None:
    plan = make_plan(busy_setting(policies=only("eager-drop")), "eager-drop", 1)
    found = record(plan)
    with plots.style():
        figure = plots.timeline(found)
    phases, guest, lock, queue = figure.axes
    assert [label.get_text() for label in guest.get_yticklabels()] == [
        f"vCPU {n}" for n in range(4)
    ]
    states = {s.state for lane in found.vcpus for s in lane}
    assert len(guest.collections) == len(states)
    colours = [tuple(np.asarray(c.get_facecolor())[0]) for c in guest.collections]
    assert len(set(colours)) == len(states)
    legend = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {state.replace("_", " ") for state in states} <= legend
    assert queue.get_xlabel().startswith("simulated time")
    assert [t.get_text() for t in phases.texts]
    assert lock.collections


# --- the command line ----------------------------------------------------------------------------


@pytest.fixture
def busy(tmp_path: Path) -> Path:
    path = tmp_path / "busy.toml"
    more = '{ do = "write" }, { do = "sync-dirty-log" }]'
    path.write_text(
        MINIMAL.replace('{ do = "write" }]', more)
        + '[vm]\nvcpus = 2\nmemory = "4MiB"\n[sweep]\n"vm.vcpus" = [1, 2]\n'
    )
    return path


def test_windows_are_seen_where_they_overlap_and_only_where_there_are_any(plans: Plans) -> None:
    windows = [
        {"name": "first sync", "from": "sync-dirty-log", "to": "end of sync-dirty-log"},
        {"name": "half", "from": "busy", "lasts": "200us"},
    ]
    plan = make_plan(busy_setting(driver={"windows": windows}), "lazy-drop", 1)
    found, trace = record(plan), simulate(plan)
    assert found.windows == trace.windows
    assert [w.name for w in found.windows] == ["first sync", "half"]
    events = trace_events(found)["traceEvents"]
    drawn = {e["name"]: e for e in events if e["ph"] == "X" and e["tid"] >= 4 and e["pid"] == 2}
    assert drawn["half"]["dur"] == 200.0
    assert drawn["half"]["tid"] != drawn["first sync"]["tid"]
    figure = plots.timeline(found)
    assert [t.get_text().strip() for t in figure.axes[1].texts] == ["first sync", "half"]
    later = record(plan, start_ns=trace.windows[1].end_ns)
    assert "half" not in [w.name for w in later.windows]
    assert len(plots.timeline(record(plans("lazy-drop", 1))).axes) == len(figure.axes) - 1


def test_trace_writes_a_file_whole_or_not_at_all(busy: Path, tmp_path: Path) -> None:
    done = mmusim_here("trace", busy, "--setting", "vcpus=2", "--policy", "lazy-drop", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    data = json.loads(gzip.decompress((tmp_path / "minimal.trace.json.gz").read_bytes()))
    jsonschema.validate(data, SCHEMA)
    told = data["otherData"]
    assert told.pop("model") == model_version()
    run = {"experiment": "minimal", "setting": "vcpus=2", "policy": "lazy-drop", "seed": 1}
    assert told == run
    few = mmusim_here(
        "trace", busy, "--setting", "vcpus=1", "--to", tmp_path / "few.json", "--max-records", 50
    )
    assert "room for 50 records" in few.stdout
    assert "narrow it by --from and --until" in few.stdout
    missing = tmp_path / "no" / "such.json"
    nowhere = mmusim_here("trace", busy, "--setting", "vcpus=1", "--to", missing)
    assert (nowhere.returncode, "cannot be written" in nowhere.stderr) == (2, True)
    assert sorted(p.name for p in tmp_path.glob("*.json*")) == ["few.json", "minimal.trace.json.gz"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (
            [],
            "--setting: is needed: the experiment has 2 settings; "
            "choose one of: 'vcpus=1'; 'vcpus=2'",
        ),
        (
            ["--setting", "vcpus=3"],
            "--setting = 'vcpus=3': is not a setting of the experiment; did you mean",
        ),
        (
            ["--setting", "vcpus=1", "--policy", "lazy"],
            "is not a policy; did you mean 'lazy-drop'?",
        ),
        (["--setting", "vcpus=1", "--to", "x.txt"], "must end in .json or .json.gz; choose one"),
        (["--setting", "vcpus=1", "--from", "5"], "--from = '5': must be a number and a unit"),
        (
            ["--setting", "vcpus=1", "--from", "9s"],
            "--from = '9s': is not before the end of the run",
        ),
        (
            ["--setting", "vcpus=1", "--from", "2ms", "--until", "1ms"],
            "= '1ms': is not after --from",
        ),
    ],
)
def test_what_cannot_be_traced_is_explained(busy: Path, options: list[str], complaint: str) -> None:
    done = mmusim_here("trace", busy, *options)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_plot_timeline_draws_a_run_that_nobody_stored(busy: Path, tmp_path: Path) -> None:
    to = tmp_path / "t.svg"
    done = mmusim_here(
        "plot", "timeline", busy, "--setting", "vcpus=2", "--to", to, "--until", "1ms"
    )
    assert done.returncode == 0, done.stderr
    text = to.read_text()
    assert all(word in text for word in ("vCPU 1", "mmu_lock", "fault slow", "simulated time"))
