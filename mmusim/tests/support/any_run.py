"""Random runs with everything that the model has: for tests that compare engines."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from mmusim.base.errors import ConfigError
from mmusim.config.resolved import resolved
from mmusim.config.settings import Setting, settings_of
from mmusim.policies import Reporting, choose
from mmusim.tests.support.places import ROOT
from mmusim.tests.support.settings import AT_ONCE, CONSTANT, SOUND, kernel_of, only, setting

MANUAL = (Reporting.MANUAL_CLEAR, Reporting.ALL_SET)
CHUNKS = ["256KiB", "1MiB", "1GiB"]
SHARES = ["0%", "2%", "30%", "100%"]
TICK = {"every": "50us", "lasts": "3us"}
RARE = {
    "every": {"gamma": {"mean": "200us", "cv": 1}},
    "lasts": {"lognormal": {"median": "10us", "p99": "90us"}},
}


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(list(values))


thinks = one_of("0ns", "0ns", "40ns", {"gamma": {"mean": "90ns", "cv": 1}})


@st.composite
def workloads(draw: st.DrawFn) -> dict[str, Any]:
    """Any access pattern, small."""
    count, writes = draw(one_of(0.1, 0.7, 2.0)), draw(st.sampled_from(SHARES))
    some = {"accesses_per_page": count, "writes": writes}
    return draw(
        one_of(
            {"pattern": "reads-beside-writes", **some},
            {"pattern": "uniform", **some},
            {"pattern": "zipf", **some, "exponent": 0.9},
            {"pattern": "hot-cold", **some},
            {"pattern": "phased", **some, "phase_length": 200},
            {"pattern": "write-bursts", "accesses_per_page": count, "burst": "64KiB"},
            {"pattern": "pointer-chase", "cycles": 1, "updated": writes},
            {"pattern": "sequential", "sweeps": 1, "writes": writes},
            {
                "pattern": "open-loop-requests", "requests": draw(one_of(20, 200)),
                "interarrival": draw(one_of("500ns", "5us", "20us")),
                "arrivals": draw(one_of("regular", "poisson", "bursty")), "burst": "50us",
                "touches": draw(one_of(1, 8)), "writes": writes,
                "idle": draw(one_of("poll", "halt")),
            },
        )
    )  # fmt: skip


@st.composite
def scripts(draw: st.DrawFn, manual: bool) -> list[dict[str, Any]]:
    """Phases of the host that fall into a guest that runs beside them."""
    logging = got = running = False
    phases: list[dict[str, Any]] = []

    def guest() -> dict[str, Any]:
        phase = draw(
            one_of(
                {"do": "run", "workload": "mixed"},
                {"do": draw(one_of("read", "write")), "pages": draw(one_of("3%", "60%"))},
                {"do": "touch", "writes": draw(st.sampled_from(SHARES)), "overlap": True},
                {"do": "touch", "pages": "20%", "order": "random", "writes": "50%"},
            )
        )
        background = draw(st.booleans())
        repeat = background and draw(one_of(False, False, True))
        think = draw(thinks)
        made: dict[str, Any] = phase | {"background": background, "repeat": repeat}
        return made | {"think": think}

    phases.append(guest())
    running = phases[0]["background"]
    for _ in range(draw(st.integers(1, 8))):
        step = draw(one_of("toggle", "sync", "sync", "get", "clear", "recreate", "guest", "soft"))
        if step == "toggle":
            phases.append({"do": "disable-logging" if logging else "enable-logging"})
            logging = not logging
        elif step == "recreate":
            logging = draw(st.booleans())
            phases += [{"do": "wait"}, {"do": "recreate-slot", "logging": logging}]
            running = False
        elif step == "sync" and logging:
            phases.append({"do": "sync-dirty-log", "chunk": draw(st.sampled_from(CHUNKS))})
            got = True
        elif step == "get" and logging and manual:
            phases.append({"do": "get-dirty-log"})
            got = True
        elif step == "clear" and logging and got and manual:
            phases.append({"do": "clear-dirty-log", "chunk": draw(st.sampled_from(CHUNKS))})
        elif step == "guest":
            phases.append(guest())
            running = phases[-1]["background"]
        elif step == "soft" and not running and draw(one_of(False, True)):
            phases.append({"do": "write-page-table", "emulatable": draw(st.booleans())})
        phases.append({"do": "sleep", "time": f"{draw(st.integers(1, 40_000))}ns"})
    return phases


@st.composite
def migrations(draw: st.DrawFn, rings: bool) -> dict[str, Any]:
    """Parameters of a migration that ends soon, one way or the other."""
    throttle = draw(one_of("none", "auto", "limit" if rings else "auto"))
    return {
        "bandwidth": draw(one_of("500MB/s", "2GB/s", "20GB/s")),
        "max-bandwidth": draw(one_of("0B/s", "1GiB/s")),
        "downtime-limit": draw(one_of("10us", "1ms", "300ms")),
        "multifd-channels": draw(one_of(1, 4)),
        "zero_pages": draw(one_of("0%", "50%")),
        "clear-bitmap-shift": draw(one_of(6, 9, 18)),
        "auto-converge": throttle == "auto",
        "vcpu-dirty-limit": "1MB/s" if throttle == "limit" else "0B/s",
        "postcopy_after": draw(one_of(0, 0, 1, 2)),
        "cancel_after": draw(one_of(None, None, "1ms")),
        "max_time": draw(one_of("2ms", "10ms")),
        "max_rounds": draw(one_of(2, 6)),
        "io_interval": draw(one_of("0ns", "100us")),
    }


@st.composite
def busy_phases(draw: st.DrawFn) -> dict[str, Any]:
    """A migration, a snapshot, or some checkpoints."""
    if draw(one_of(True, True, False)):
        return {"do": "migrate"}
    if draw(st.booleans()):
        return {"do": "snapshot", "way": {"rule": draw(one_of("write-protect", "stopped"))}}
    clock = {draw(one_of("every", "after")): draw(one_of("50us", "400us"))}
    return {
        "do": "checkpoint",
        "times": draw(one_of(1, 4)),
        "buffered": draw(st.booleans()),
        **clock,
    }


@st.composite
def beside(draw: st.DrawFn, workload: str) -> dict[str, Any]:
    """A phase as above beside a workload; a migration of a guest may have a lead and a tail."""
    phase = draw(busy_phases()) | {"workload": workload}
    if workload and phase["do"] in ("migrate", "snapshot"):
        lasts = one_of("0ns", "0ns", "70us", "1500us")
        phase |= {"lead": draw(lasts), "tail": draw(lasts)}
    return phase


@st.composite
def machines(draw: st.DrawFn) -> dict[str, Any]:
    """No machine, or a small one on which load counts."""
    if draw(st.booleans()):
        return {}
    cores = {"cores": draw(one_of(1, 2, 64)), "threads_per_core": draw(one_of(1, 2))}
    count = draw(one_of(*range(1, 1 + min(2, cores["cores"]))))  # each node has a core
    nodes = {"nodes": count, "private_cache": draw(one_of("0B", "64KiB"))}
    return {"machine": cores | nodes | {"smt_gain": draw(one_of(0.0, 0.3))}}


def beside_another(policy: str, phases: list[dict[str, Any]], **settings: Any) -> Setting:
    """The setting, with whatever other policy fits in, because an experiment compares."""
    for other in ("none", "write-protect", "dirty-ring", "linux-6.13+dirty-ring", "linux-6.13"):
        with contextlib.suppress(ConfigError):
            pair = {"baseline": policy, "compare": [other]}
            return setting(phases, policies=pair, **settings)
    return setting(phases, policies=only(policy), **settings)


spreads = one_of(
    {"kind": "uniform"}, {"kind": "hot-cold", "hot": "10%"}, {"kind": "zipf", "exponent": 0.9}
)


@st.composite
def rated(draw: st.DrawFn) -> dict[str, Any]:
    """A guest that is given by rates, small and fast."""
    time = draw(one_of("20us", "300us", "2ms"))
    return draw(
        one_of(
            {
                "pattern": "dirty-rate", "time": time, "over": "1ms",
                "dirty_rate": draw(one_of("1MB/s", "100MB/s", "2GB/s")),
                "working_set": draw(one_of("30%", "100%")), "spread": draw(spreads),
                "reads": draw(one_of(0.0, 100.0, 1000.0)), "scattered": draw(st.booleans()),
            },
            {
                "pattern": "dirty-rate", "time": time,
                "classes": [
                    {"share": "10%", "writes": draw(one_of(0.0, 3e3, 1e5))},
                    {"share": "40%", "writes": 50.0, "reads": draw(one_of(0.0, 800.0))},
                ],
            },
            {
                "pattern": "stress", "working_set": draw(one_of("5%", "100%")),
                **draw(
                    one_of(
                        {"rate": "100MB/s", "time": time}, {"rate": "3GB/s", "time": time},
                        {"rate": "5TB/s", "time": "20us"},  # several pages in a nanosecond
                    )
                ),
            },
        )
    )  # fmt: skip


def bounded(workload: dict[str, Any]) -> dict[str, Any]:
    """Return a workload whose every point may be an event for as long as a migration lasts.

    At 5 TB/s a vCPU has 1.2 thousand million points a second: those of some 10 ms with four vCPUs
    took half a minute, where each was an event of its own.
    """
    return workload | ({"rate": "50GB/s"} if workload.get("rate") == "5TB/s" else {})


@st.composite
def pins(draw: st.DrawFn, vcpus: int) -> dict[str, Any]:
    """Whether the host thread shares a processor with a vCPU, and with which."""
    if draw(one_of(False, False, True)):
        return {"emulatorpin": draw(st.integers(0, vcpus - 1))}
    return {}


@st.composite
def runs(draw: st.DrawFn, by_rates: bool = False) -> tuple[str, Setting]:
    """A policy, and a setting that it fits in; `by_rates` for a guest that is given by rates."""
    policy = draw(st.sampled_from(SOUND))
    kernel = kernel_of(policy)
    reporting = choose(policy, kernel=kernel).choices.reporting
    tracks = policy != "none"
    driver: dict[str, Any] = {
        "dirty-ring-size": draw(one_of(1024, 4096)),
        "all_set_keeps_mmu_writable": draw(st.booleans()),
    }
    work = draw(rated() if by_rates else workloads())
    phases = draw(scripts(reporting in MANUAL))
    for phase in phases if by_rates else ():
        if phase["do"] == "run":
            del phase["think"]
    if tracks and draw(one_of(False, False, True)):
        told = draw(migrations(reporting is Reporting.DIRTY_RING))
        driver["migration"] = {key: value for key, value in told.items() if value is not None}
        think = "0ns" if by_rates else draw(thinks)
        phases = [
            {"do": "write", "pages": "50%"},
            draw(beside(draw(one_of("mixed", "mixed", "")))) | {"think": think},
            {"do": "read", "pages": "20%"},
        ]
        work = bounded(work)
    snapshot = any(phase["do"] == "snapshot" for phase in phases)
    if snapshot:
        driver["migration"]["multifd-channels"] = 1
    backing = draw(one_of("1GiB", "2MiB", "2MiB", "4KiB"))
    ragged = ["8212KiB"] if backing == "4KiB" else []  # no whole group of eight pages at the end
    if snapshot and backing == "1GiB":
        backing = "2MiB"
    memory = draw(one_of("8MiB", "8MiB", "16MiB", *ragged))
    parted = memory == "8MiB" and backing != "1GiB"
    slots = draw(one_of("one", ["2MiB", "6MiB"], ["4MiB", "2MiB", "2MiB"])) if parted else "one"
    vcpus = draw(one_of(1, 2, 4))
    pin = draw(pins(vcpus))
    slices = {"c_sched_slice": draw(one_of("300ns", "5us", "3ms"))} if pin else {}
    return policy, beside_another(
        policy,
        phases,
        vcpus=vcpus,
        memory=memory,
        costs=(draw(one_of(None, CONSTANT, AT_ONCE)) or {}) | slices,
        vm={
            "kernel": kernel,
            "backing": backing,
            "slots": slots,
            "cached_child_tables": draw(st.booleans()),
            "nx_huge_pages": draw(st.booleans()),
            "executable": draw(one_of("0%", "25%")),
            "prefaulted": draw(st.booleans()),
            "preemption": draw(one_of("voluntary", "full")),
        },
        host={
            "interference": draw(one_of([], [], [TICK], [TICK, RARE])),
            "need_resched": draw(one_of("0ns", "20us")),
            **pin,
            "halt_poll": draw(one_of("0ns", "3us", "200us")),
            **draw(machines()),
            "tlb": draw(one_of("unlimited", "unlimited", 1, 5, {"4KiB": 60, "2MiB": 2}, 1536)),
        },
        driver=driver,
        workloads={"mixed": work},
        replications={
            "pairing": draw(one_of("by-access", "by-access", "by-occurrence", "independent"))
        },
    )


@st.composite
def windows(draw: st.DrawFn, phases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Windows that begin and end with phases or after a time; they may overlap."""

    def moment(number: int, edge: str) -> str:
        do = phases[number]["do"]
        before = sum(phase["do"] == do for phase in phases[: number + 1])
        return f"{edge} of {do} {before}"

    made = []
    for number in range(draw(st.integers(1, 4))):
        first = draw(st.integers(0, len(phases) - 1))
        window = {"name": f"w{number}", "from": moment(first, draw(one_of("start", "end")))}
        if draw(st.booleans()):
            window["lasts"] = f"{draw(st.integers(1, 90_000))}ns"
            window["after"] = f"{draw(one_of(0, 0, 700, 20_000))}ns"
        else:
            last = draw(st.integers(first, len(phases) - 1))
            window["to"] = moment(last, "end")
        made.append(window)
    return made


@st.composite
def windowed_runs(draw: st.DrawFn, by_rates: bool = False) -> tuple[str, Setting, Setting]:
    """A policy, a setting that it fits in with windows, and the same without."""
    policy, without = draw(runs(by_rates))
    data = resolved(without)
    phases = data["driver"]["phases"]
    data["driver"]["windows"] = draw(windows(phases))
    try:
        (made,) = settings_of(data, "test", ROOT)
    except ConfigError:
        assume(False)
    return policy, made, without
