"""Windows of a run: the same run, seen in parts that are cut to the nanosecond."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mmusim.base.errors import ConfigError, MmusimError, WindowError
from mmusim.config.driver import Driver
from mmusim.config.settings import Setting
from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.host.windows import Windows
from mmusim.engine.state.virtual_cpu import Vcpu
from mmusim.metrics.measure import measure
from mmusim.metrics.stored import from_record, to_record
from mmusim.plan.make import make_plan
from mmusim.tests.support.any_run import windowed_runs
from mmusim.tests.support.settings import busy_setting, setting
from mmusim.trace.records import PhaseTrace, Trace

REQUESTS = {
    "pattern": "open-loop-requests", "requests": 60, "interarrival": "20us", "touches": 4,
    "writes": "30%",
}  # fmt: skip
RUN = {"do": "run", "workload": "requests", "name": "requests", "background": True}


def scenario(windows: list[dict[str, Any]], phases: list[dict[str, Any]], **more: Any) -> Setting:
    """Requests beside the host's phases, on the modern MMU."""
    return setting(
        [{"do": "write"}, RUN, *phases],
        vcpus=2,
        memory="16MiB",
        vm={"kernel": "linux-6.8"},
        policies={"baseline": "eager_page_split", "compare": ["split-on-fault", "lazy-drop"]},
        driver={"windows": windows},
        workloads={"requests": REQUESTS | more},
    )


def charged(part: PhaseTrace) -> int:
    return sum(part.ledger.values())


def not_closed(trace: Trace) -> Iterator[str]:
    """Windows and phases whose time is not all charged."""
    for part in (*trace.windows, *(phase for phase in trace.phases if phase.guest)):
        if charged(part) != part.vcpu_ns:
            yield f"{part.name or part.do}: {charged(part)} charged of {part.vcpu_ns}"
        if any(ns < 0 for ns in part.ledger.values()):
            yield f"{part.name or part.do}: less than nothing in {dict(part.ledger)}"


@given(windowed_runs(), st.integers(0, 9999))
@settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
def test_engines_agree_on_windows_and_every_window_is_closed(
    run: tuple[str, Setting, Setting], seed: int
) -> None:
    """What each vCPU did in a window sums to its time there, to the nanosecond."""
    policy, made, _ = run
    slow, fast = (_ends(made, policy, seed, engine) for engine in (SIMPY, COMPILED))
    assert slow == fast
    if isinstance(slow, Trace):
        assert list(not_closed(slow)) == []


def _ends(made: Setting, policy: str, seed: int, engine: str) -> Any:
    """The trace of a run, or the words in which it fails."""
    try:
        return simulate(make_plan(made, policy, seed), engine=engine)
    except MmusimError as error:
        return f"{type(error).__name__}: {error}"


@given(windowed_runs(), st.integers(0, 9999))
@settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
def test_nobody_notices_windows(run: tuple[str, Setting, Setting], seed: int) -> None:
    """The trajectory, the ledgers and every histogram are those of the run without windows.

    But for workloads in the background, which go on until their windows have ended.
    """
    policy, made, without = run
    seen = _ends(made, policy, seed, COMPILED)
    phases = made.experiment.script(policy).phases
    if isinstance(seen, str) or any(getattr(p, "background", False) for p in phases):
        return
    plain = simulate(make_plan(without, policy, seed), engine=COMPILED)
    assert seen.fingerprint == plain.fingerprint
    for one, other in zip(seen.phases, plain.phases, strict=True):
        assert one.ledger == other.ledger
        for name in ("reads", "writes", "requests", "stalls", "vcpu_ns", "counters"):
            assert getattr(one, name) == getattr(other, name), name


def test_a_window_that_stops_the_guest_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: windows whose edges kick the vCPUs."""
    phases = [{"do": "write"}, {"do": "enable-logging"}, {"do": "write"}]
    window = {"name": "w", "from": "write 2", "after": "30us", "lasts": "50us"}

    def prints() -> tuple[str, ...]:
        both = (setting(phases, driver={"windows": w}) for w in ([window], []))
        return tuple(simulate(make_plan(s, "lazy-drop", 1)).fingerprint for s in both)

    assert len(set(prints())) == 1
    change = Vcpu.change_recorder

    def kicking(v: Vcpu, recorder: Any, now: int) -> None:
        change(v, recorder, now)
        v.stolen_ns += 100

    monkeypatch.setattr(Vcpu, "change_recorder", kicking)
    assert len(set(prints())) == 2


def test_time_that_is_not_cut_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: what was charged ahead stays where it is."""
    windows = [{"name": f"w{i}", "from": "requests", "after": f"{i * 7}us", "lasts": "7us"}
               for i in range(1, 100)]  # fmt: skip
    made = scenario(windows, [{"do": "enable-logging", "at": "100us"}])
    assert list(not_closed(simulate(make_plan(made, "lazy-drop", 1)))) == []
    monkeypatch.setattr(Vcpu, "charged_ns", property(lambda v: 0, lambda v, ns: None))
    with pytest.raises(AssertionError):
        assert list(not_closed(simulate(make_plan(made, "lazy-drop", 1)))) == []


def test_windows_in_a_row_are_the_whole_and_requests_belong_where_they_arrive() -> None:
    """Counts, times and arrivals of 40 windows in a row are those of one over all of them."""
    width, count = 25, 40
    parts = [{"name": f"w{i}", "from": "requests", "after": f"{i * width}us", "lasts": f"{width}us"}
             for i in range(count)]  # fmt: skip
    whole = {"name": "all", "from": "requests", "lasts": f"{width * count}us"}
    host = [{"do": "enable-logging", "at": "200us"}, {"do": "sync-dirty-log", "at": "600us"}]
    made = scenario([*parts, whole], host, arrivals="regular", interarrival="10us")
    for engine in (SIMPY, COMPILED):
        trace = simulate(make_plan(made, "lazy-drop", 3), engine=engine)
        *windows, everything = trace.windows
        assert everything.end_ns - everything.start_ns == width * count * 1000
        assert sum(w.vcpu_ns for w in windows) == everything.vcpu_ns
        for name in ("reads", "writes", "requests", "stalls"):
            assert sum(getattr(w, name).count for w in windows) == getattr(everything, name).count
        for cause, ns in everything.ledger.items():
            assert sum(w.ledger[cause] for w in windows) == ns, cause
        for w in windows:  # one every 10 us on each of two vCPUs, from 10 us on
            first, last = (edge - everything.start_ns for edge in (w.start_ns, w.end_ns))
            due = sum(first <= at < last for at in range(10_000, 2_000_000, 10_000))
            assert w.requests.count == 2 * due


def test_the_guest_lasts_as_long_as_the_last_window_and_answers_what_arrived() -> None:
    """60 requests are 1.2 ms; the window ends after 5.1 ms, and no request is left behind."""
    made = scenario(
        [{"name": "late", "from": "enable-logging", "after": "5ms", "lasts": "100us"}],
        [{"do": "enable-logging", "at": "10us"}],
        arrivals="regular",
    )
    for engine in (SIMPY, COMPILED):
        trace = simulate(make_plan(made, "split-on-fault", 1), engine=engine)
        (window,) = trace.windows
        guest = trace.phases[1]
        assert window.vcpu_ns == 2 * 100_000
        assert window.requests.count == 10
        behind = guest.guest_end_ns - window.end_ns
        assert 0 <= behind < 20_000, "it goes on for long after the window"


def test_a_window_that_is_measured_gives_the_metrics() -> None:
    windows = [
        {"name": "enabling", "from": "enable-logging", "to": "end of enable-logging"},
        {"name": "first pass", "from": "end of enable-logging", "lasts": "1ms"},
    ]
    made = scenario(windows, [{"do": "enable-logging", "at": "100us"}])
    data = made.experiment.driver.model_copy(update={"measure": "first pass"})
    trace = simulate(
        make_plan(
            setting_with(made, data), "split-on-fault", 1
        )
    )  # fmt: skip
    metrics = measure(trace)
    assert trace.compared is trace.windows[1]
    assert metrics.values["phase_time"] == 1_000_000
    assert metrics.windows["enabling"]["phase_time"] == metrics.values["enable_time"]
    assert metrics.exposures[""] == metrics.exposures["first pass"]
    assert from_record(metrics.policy, metrics.seed, to_record(metrics)) == metrics


def setting_with(made: Setting, driver: Any) -> Setting:
    from dataclasses import replace

    return replace(made, experiment=made.experiment.model_copy(update={"driver": driver}))


def test_windows_of_a_migration_begin_with_what_it_does() -> None:
    windows = [
        {"name": "set-up", "from": "enable-logging", "to": "end of sync-dirty-log 1"},
        {"name": "first pass", "from": "end of sync-dirty-log 1", "to": "sync-dirty-log 2"},
        {"name": "stopped", "from": "switch-over", "to": "end of switch-over"},
    ]
    made = setting(
        [{"do": "write"}, {"do": "migrate", "workload": "mixed", "think": "1us"}],
        vcpus=2,
        memory="16MiB",
        vm={"kernel": "linux-6.8"},
        driver={"windows": windows, "measure": "first pass"},
        policies={"baseline": "eager_page_split", "compare": ["split-on-fault"]},
        workloads={"mixed": {"pattern": "uniform", "writes": "10%"}},
    )
    for engine in (SIMPY, COMPILED):
        trace = simulate(make_plan(made, "eager_page_split", 1), engine=engine)
        setup, first, stopped = trace.windows
        migration = trace.phases[-1].migration
        assert migration is not None
        assert first.start_ns == setup.end_ns == migration.rounds[0].start_ns
        assert stopped.end_ns - stopped.start_ns == migration.downtime_ns
        assert stopped.ledger["paused"] > 0.9 * stopped.vcpu_ns
        assert measure(trace).values["downtime"] == migration.downtime_ns


def test_a_schedule_is_absolute_and_what_is_late_is_said() -> None:
    """Syncs take some 20 us: every 100 us they keep their times, every 10 us they do not."""

    def starts(every: str) -> list[tuple[int, int]]:
        enable: dict[str, Any] = {"do": "enable-logging", "at": "50us"}
        host = [enable, {"do": "sync-dirty-log", "at": "1ms", "every": every, "times": 6}]
        trace = simulate(make_plan(scenario([], host), "split-on-fault", 1))
        began = trace.phases[1].start_ns
        return [(o.start_ns - began, o.late_ns) for o in trace.operations[1:]]

    assert starts("100us") == [(1_000_000 + i * 100_000, 0) for i in range(6)]
    dense = starts("10us")
    assert dense[0] == (1_000_000, 0)
    for number, (at, late) in enumerate(dense):
        assert at - late == 1_000_000 + number * 10_000
    assert dense[-1][1] > 0


def test_an_operation_begins_after_the_end_of_another() -> None:
    host = [
        {"do": "enable-logging", "at": "50us", "name": "on"},
        {"do": "sync-dirty-log", "after": "70us"},
        {"do": "sync-dirty-log", "after": "900us", "of": "on"},
    ]
    trace = simulate(make_plan(scenario([], host), "split-on-fault", 1))
    on, first, second = trace.operations
    assert first.start_ns == on.end_ns + 70_000
    assert second.start_ns == on.end_ns + 900_000


@pytest.mark.parametrize(
    ("windows", "phases", "words"),
    [
        ([{"name": "w", "from": "enable-loging", "lasts": "1ms"}], [], "never happens"),
        ([{"name": "w", "from": "sync-dirty-log 3", "lasts": "1ms"}], [], "happens 1 times"),
        ([{"name": "w", "from": "end of sync-dirty-log", "to": "enable-logging"}], [],
         "ends before it begins"),
        ([{"name": "w", "from": "sync-dirty-log", "to": "sync-dirty-log"}], [],
         'end it with "end of sync-dirty-log", or by time'),
        ([{"name": "w", "from": "enable-logging", "lasts": "0.2ns"}], [],
         "less than a nanosecond"),
        ([{"name": "w", "from": "enable-logging", "lasts": "1001s"}], [], "must be at most 1000 s"),
        ([{"name": "w", "from": "enable-logging", "after": "1e6s", "lasts": "1ms"}], [],
         "must be at most 1000 s"),
        ([{"name": " ", "from": "enable-logging", "lasts": "1ms"}], [], "must not be blank"),
        ([{"name": "last", "from": "enable-logging", "lasts": "1ms"}], [], "choose another name"),
        ([{"name": "w", "from": "end of end of enable-logging", "lasts": "1ms"}], [],
         "never happens"),
        ([{"name": "w", "from": "sync-dirty-log \u0663", "lasts": "1ms"}], [], "never happens"),
        ([{"name": "w", "from": "sync-dirty-log " + "9" * 5000, "lasts": "1ms"}], [],
         "never happens"),
        ([{"name": "w", "from": "enable-logging"}], [], "needs one end"),
        ([{"name": "w", "from": "enable-logging", "to": "end of sync-dirty-log", "lasts": "1s"}],
         [], "needs one end"),
        ([{"name": "requests", "from": "enable-logging", "lasts": "1ms"}], [], "one of its own"),
        ([{"name": "w", "from": "enable-logging", "lasts": "0ns"}], [], "must be more than 0"),
        ([{"name": "w", "from": "enable-logging", "to": "end of read"}],
         [{"do": "wait"}, {"do": "read"}], "waits for the guest"),
        ([], [{"do": "sync-dirty-log", "at": "1us"}, {"do": "sync-dirty-log", "at": "0us"}],
         "in the order of time"),
        ([], [{"do": "sync-dirty-log", "at": "1us", "after": "1us"}], "exclude each other"),
        ([], [{"do": "sync-dirty-log", "every": "1us"}], "every needs times"),
        ([], [{"do": "sync-dirty-log", "times": 3}], "every"),
        ([], [{"do": "sync-dirty-log", "every": "0us", "times": 3}], "must be more than 0"),
        ([], [{"do": "sync-dirty-log", "after": "0us", "of": "nothing"}],
         "not an operation before"),
        ([], [{"do": "wait", "at": "1us"}], "ends when the guest does"),
        ([{"name": "w", "from": "enable-logging", "lasts": "1ms"}],
         [{"do": "wait"}, {"do": "write-page-table"}], "do not go with"),
    ],
)  # fmt: skip
def test_windows_and_schedules_that_cannot_be_are_refused(
    windows: list[dict[str, Any]], phases: list[dict[str, Any]], words: str
) -> None:
    script = [{"do": "enable-logging"}, {"do": "sync-dirty-log"}, *phases]
    with pytest.raises(ConfigError, match=words):
        scenario(windows, script)
    scenario([], [{"do": "enable-logging"}, {"do": "sync-dirty-log"}])  # control


MIGRATE = {"do": "migrate", "workload": "mixed"}


def busy_guest(windows: list[dict[str, Any]], *phases: dict[str, Any], **driver: Any) -> Setting:
    """Phases in which the VMM works beside a guest that only reads."""
    return setting(
        [{"do": "write"}, *(phases or (MIGRATE,))],
        vm={"kernel": "linux-6.8"},
        driver={"windows": windows} | driver,
        policies={"baseline": "lazy-drop", "compare": ["eager-drop"]},
        workloads={"mixed": {"pattern": "uniform", "writes": "0%"}},
    )


def test_a_window_that_never_begins_in_a_run_is_an_error_with_a_remedy() -> None:
    made = busy_guest([{"name": "w", "from": "sync-dirty-log 40", "lasts": "1ms"}])
    with pytest.raises(WindowError, match=r"never begins.*there was no sync-dirty-log 40"):
        simulate(make_plan(made, "lazy-drop", 1))


CHECKPOINTS = {"do": "checkpoint", "workload": "mixed", "every": "1ms", "times": 3}


@pytest.mark.parametrize(
    ("window", "phases", "words"),
    [
        ({"from": "sync-dirty-log 53", "lasts": "1ms"}, [], "happens at most 52 times"),
        ({"from": "switch-over 2", "lasts": "1ms"}, [], "happens at most 1 times"),
        ({"from": "enable-logging 2", "lasts": "1ms"}, [], "happens at most 1 times"),
        ({"from": "disable-logging 2", "lasts": "1ms"}, [], "happens at most 1 times"),
        ({"from": "switch-over 3", "lasts": "1ms"}, [MIGRATE, MIGRATE], "at most 2 times"),
        ({"from": "switch-over", "to": "enable-logging"}, [], "ends before it begins"),
        ({"from": "disable-logging", "to": "sync-dirty-log 2"}, [], "ends before it begins"),
        ({"from": "sync-dirty-log 3", "to": "sync-dirty-log 2"}, [], "ends before it begins"),
        ({"from": "end of sync-dirty-log", "to": "sync-dirty-log"}, [], "ends before it begins"),
        (
            {"from": "sync-dirty-log 2", "to": "sync-dirty-log 2"},
            [],
            "end it with .end of sync-dirty-log 2., or by time",
        ),
        ({"from": "enable-logging", "to": "end of write"}, [], "ends before it begins"),
        ({"from": "clear-dirty-log", "lasts": "1ms"}, [], "goes with manual-clear"),
        ({"from": "pause", "lasts": "1ms"}, [], "never happens"),
        ({"from": "pause 4", "lasts": "1ms"}, [CHECKPOINTS], "pause happens at most 3 times"),
        ({"from": "sync-dirty-log 5", "lasts": "1ms"}, [CHECKPOINTS], "happens at most 4 times"),
        ({"from": "pause 3", "to": "end of pause 2"}, [CHECKPOINTS], "ends before it begins"),
        ({"from": "disable-logging", "to": "pause"}, [CHECKPOINTS], "ends before it begins"),
        ({"from": "clear-dirty-log", "lasts": "1ms"}, [CHECKPOINTS], "goes with manual-clear"),
        ({"from": "pause 2", "lasts": "1ms"}, [{"do": "snapshot"}], "happens at most 1 times"),
        ({"from": "copy-memory 2", "lasts": "1ms"}, [{"do": "snapshot"}], "at most 1 times"),
    ],
)
def test_windows_that_no_migration_checkpoint_or_snapshot_has_are_refused_before_a_run(
    window: dict[str, str], phases: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        busy_guest([{"name": "w"} | window], *phases)


@pytest.mark.parametrize(
    ("window", "phases", "driver"),
    [
        ({"from": "sync-dirty-log 52", "lasts": "1ms"}, [], {}),
        ({"from": "sync-dirty-log 53", "lasts": "1ms"}, [], {"migration": {"max_rounds": 51}}),
        # a throttle may read the log by a timer, as often as it likes
        ({"from": "sync-dirty-log 900", "lasts": "1ms"}, [],
         {"migration": {"auto-converge": True}}),
        ({"from": "switch-over 2", "lasts": "1ms"}, [MIGRATE, MIGRATE], {}),
        ({"from": "switch-over", "to": "enable-logging 2"}, [MIGRATE, MIGRATE], {}),
        ({"from": "end of write", "to": "enable-logging"}, [], {}),
        ({"from": "clear-dirty-log 9", "lasts": "1ms"}, [], {"manual_protect": "on"}),
        ({"from": "pause 3", "to": "end of pause 3"}, [CHECKPOINTS], {}),
        ({"from": "sync-dirty-log 4", "lasts": "1ms"}, [CHECKPOINTS], {}),
        ({"from": "pause", "to": "end of copy-memory"}, [{"do": "snapshot"}], {}),
    ],
)  # fmt: skip
def test_windows_that_a_run_may_have_are_not_refused(
    window: dict[str, str], phases: list[dict[str, Any]], driver: dict[str, Any]
) -> None:
    """Control: what is refused is what no run has."""
    made = busy_guest([{"name": "w"} | window], *phases, **driver)
    assert len(made.experiment.driver.windows) == 1


def test_a_run_ends_as_soon_as_a_window_cannot_begin_or_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The phases behind the last chance are not simulated."""
    began = []
    begin = Windows.over

    def noting(windows: Windows, number: int) -> None:
        began.append(number)
        begin(windows, number)

    monkeypatch.setattr(Windows, "over", noting)
    more = ({"do": "sleep", "time": "10s"}, {"do": "read"})
    for window, words in (
        ({"from": "sync-dirty-log 40", "lasts": "1ms"}, "never begins"),
        ({"from": "enable-logging", "to": "sync-dirty-log 40"}, "never ends"),
    ):
        for engine in (SIMPY, COMPILED):
            began.clear()
            made = busy_guest([{"name": "w"} | window], MIGRATE, *more)
            with pytest.raises(WindowError, match=words):
                simulate(make_plan(made, "lazy-drop", 1), engine=engine)
            assert began == [0, 1]
    made = busy_guest([{"name": "w", "from": "sync-dirty-log 1", "lasts": "1us"}], MIGRATE, *more)
    began.clear()
    simulate(make_plan(made, "lazy-drop", 1))
    assert began == [0, 1, 2, 3], "control"


def test_a_window_whose_end_comes_before_it_begins_is_an_error_with_a_remedy() -> None:
    """What comes `after` an event may come too late for the event that ends it."""
    phases = [{"do": "enable-logging", "at": "100us"}, {"do": "sync-dirty-log", "after": "50us"}]
    for after, told in (("1ms", True), ("1us", False)):
        window = {"name": "w", "from": "enable-logging", "after": after, "to": "sync-dirty-log"}
        made = scenario([window], phases)
        for engine in (SIMPY, COMPILED):
            if told:
                with pytest.raises(
                    WindowError, match=r"sync-dirty-log 1 came less than 1 ms after"
                ):
                    simulate(make_plan(made, "split-on-fault", 1), engine=engine)
            else:
                (found,) = simulate(make_plan(made, "split-on-fault", 1), engine=engine).windows
                assert found.end_ns > found.start_ns


def test_a_phase_may_have_thousands_of_windows() -> None:
    """1,100 edges of windows in one phase, beyond the depth to which Python calls itself."""
    windows = [{"name": f"w{i}", "from": "requests", "after": f"{i}us", "lasts": "1us"}
               for i in range(1100)]  # fmt: skip
    made = scenario(windows, [{"do": "enable-logging", "at": "100us"}])
    trace = simulate(make_plan(made, "lazy-drop", 1))
    assert len(trace.windows) == 1100
    assert list(not_closed(trace)) == []


@pytest.mark.parametrize("policy", ["linux-6.8+initially-all-set", "linux-6.8+dirty-ring"])
def test_windows_of_the_selftest_are_those_of_the_way_of_reporting(policy: str) -> None:
    """A clear is an event where the log is cleared apart, and refused elsewhere, by name."""
    data: dict[str, Any] = {
        "kind": "dirty-log-perf-test",
        "windows": [{"name": "w", "from": "clear-dirty-log 2", "lasts": "1us"}],
    }

    def selftest() -> Setting:
        policies = {"baseline": policy, "compare": [f"{policy}+split-on-fault"]}
        return setting(None, vm={"kernel": "linux-6.8"}, policies=policies, driver=data)

    if policy.endswith("set"):
        made = selftest()
        (window,) = simulate(make_plan(made, policy, 1)).windows
        assert window.end_ns - window.start_ns == 1000
    else:
        with pytest.raises(ConfigError, match=r"'clear-dirty-log' never happens \(dirty-ring\)"):
            selftest()


def test_vcpus_share_the_memory_that_they_are_told_to() -> None:
    made = busy_setting()
    driver = made.experiment.driver
    assert isinstance(driver, Driver)
    (run,) = [phase for phase in driver.phases if phase.do == "run"]
    touched = {}
    for shared in (0.0, 0.25, 1.0):
        changed = [
            run.model_copy(update={"shared": shared}) if phase is run else phase
            for phase in driver.phases
        ]
        plan = make_plan(
            setting_with(made, driver.model_copy(update={"phases": changed})), "lazy-drop", 1
        )
        number = changed.index(next(p for p in changed if p.do == "run"))
        pages = [set(plan.program(number, cpu).accesses.gfn.tolist()) for cpu in range(4)]
        touched[shared] = set.intersection(*pages)
        assert set.union(*pages) <= set(range(2048))
    assert not touched[0.0]
    assert touched[0.25]
    assert touched[0.25] <= set(range(512))
    assert max(touched[1.0]) > 1024
