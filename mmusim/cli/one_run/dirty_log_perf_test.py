"""``mmusim dirty-log-perf-test``: the selftest's command line, answered by the simulator."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mmusim.base.errors import ConfigError, MisfitError, nearest
from mmusim.base.units import BYTES
from mmusim.cli.shared.options import AsJson
from mmusim.cli.shared.output import table
from mmusim.cli.shared.progress import show_one_run
from mmusim.config.driver import MANUAL
from mmusim.config.settings import settings_of
from mmusim.config.vm_and_host import DEFAULT_PROFILE
from mmusim.engine import simulate
from mmusim.plan.make import make_plan
from mmusim.policies import choose
from mmusim.trace.records import Trace
from mmusim.validation.selftest_output import (
    AVERAGE,
    TOTAL,
    Measured,
    beside_measured,
    read_selftest,
    shown,
    simulated_times,
    unlike,
)

SOURCE: Final = "dirty-log-perf-test"
BACKING: Final = {
    "anonymous": "4KiB",
    "anonymous_thp": "2MiB",
    "anonymous_hugetlb": "2MiB",
    "anonymous_hugetlb_2mb": "2MiB",
    "anonymous_hugetlb_1gb": "1GiB",
    "shmem": "4KiB",
    "shared_hugetlb": "2MiB",
}
"""Backing sources of the selftests, and the largest page that each gives the host."""

LEAST_ITERATIONS: Final = 2

_SIZE = re.compile(r"([0-9]+)([bkmgtBKMGT]?)")
_NUMBER = re.compile(r"[0-9]+")
_OFFSET = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")
_SUFFIX: Final = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": BYTES["GiB"], "t": 1 << 40}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The selftest's options under their meanings, then those of the simulator."""

    vcpus: int
    memory: str  # per vCPU, as the selftest reads it: 512M, 3G
    backing: str
    iterations: int
    write_percent: int
    random_access: bool
    overlap: bool
    nested: bool
    run_vcpus: bool
    no_manual_protect: bool
    memslots: int
    guest_mode: int
    pin: str
    offset: str
    random_seed: int
    policy: str
    host: str
    sample: str


def dirty_log_perf_test(
    vcpus: Annotated[int, typer.Option("-v", min=1, max=4096, help="vCPUs.")] = 1,
    memory: Annotated[str, typer.Option("-b", help="Memory of each vCPU: 512M, 1G.")] = "1G",
    backing: Annotated[str, typer.Option("-s", help="Backing source.")] = "anonymous",
    iterations: Annotated[
        int | None,
        typer.Option("-i", min=0, max=1 << 20, help="Rounds [2, or those of --measured]."),
    ] = None,
    write_percent: Annotated[
        int, typer.Option("-w", min=0, max=100, help="Percentage of writes.")
    ] = 100,
    random_access: Annotated[bool, typer.Option("-a", help="Pages in random order.")] = False,
    overlap: Annotated[bool, typer.Option("-o", help="vCPUs share all memory.")] = False,
    nested: Annotated[bool, typer.Option("-n", help="Run as a nested guest.")] = False,
    run_vcpus: Annotated[bool, typer.Option("-e", help="vCPUs run while disabling.")] = False,
    no_manual_protect: Annotated[bool, typer.Option("-g", help="No manual protect.")] = False,
    random_seed: Annotated[
        int | None,
        typer.Option(
            "-r", min=0, max=(1 << 32) - 1, help="Random seed [1, or that of --measured]."
        ),
    ] = None,
    memslots: Annotated[
        int, typer.Option("-x", min=1, max=1 << 15, help="Memory slots; only 1 is modelled.")
    ] = 1,
    guest_mode: Annotated[
        int, typer.Option("-m", min=0, max=99, help="Guest mode; only 0 is modelled.")
    ] = 0,
    pin: Annotated[
        str,
        typer.Option(
            "-c", help="Processors, e.g. 0,1; makes no difference, because each vCPU has its own."
        ),
    ] = "",
    offset: Annotated[
        str, typer.Option("-p", help="Address of the memory; makes no difference.")
    ] = "",
    policy: Annotated[str, typer.Option(help="Policy or kernel, see `policies`.")] = "linux-6.13",
    host: Annotated[str, typer.Option(help="Host profile, see `hosts`.")] = DEFAULT_PROFILE,
    sample: Annotated[str, typer.Option(help="Touch only this share of memory.")] = "100%",
    measured: Annotated[
        Path | None,
        typer.Option(help="Output of the real test; print both, line by line.", metavar="FILE"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run KVM's selftest of that name in the simulator, with its options and output format."""
    real = None if measured is None else read_selftest(measured)
    known = real or Measured({})
    iterations = (known.iterations or LEAST_ITERATIONS) if iterations is None else iterations
    random_seed = known.random_seed if random_seed is None else random_seed
    random_seed = 1 if random_seed is None else random_seed
    options = Options(
        vcpus=vcpus, memory=memory, backing=backing, iterations=iterations,
        write_percent=write_percent, random_access=random_access, overlap=overlap,
        nested=nested, run_vcpus=run_vcpus, no_manual_protect=no_manual_protect,
        memslots=memslots, guest_mode=guest_mode, pin=pin, offset=offset,
        random_seed=random_seed, policy=policy, host=host, sample=sample,
    )  # fmt: skip
    setting = settings_of(experiment(options), SOURCE, Path())[0]
    if not as_json and real is None:
        typer.echo(f"Test iterations: {options.iterations}")
    plan = make_plan(setting, options.policy, options.random_seed)
    with show_one_run(setting, plan) as tell:
        trace = simulate(plan, tell=tell)
    if real is not None:
        _print_beside(real, trace, options.iterations, setting.experiment.vm.memory, as_json)
        return
    if as_json:
        table("", rows(trace), True)
        return
    for line in printed(trace):
        typer.echo(line)


def _print_beside(
    real: Measured, trace: Trace, iterations: int, memory: int, as_json: bool
) -> None:
    """Print measured beside simulated times, and the differences between the two runs."""
    differing = unlike(real, iterations, memory)
    for one in differing:
        typer.echo(f"notice: {one}", err=True)
    made = beside_measured(real, trace)
    title = "Measured and simulated; ratio: simulated over measured"
    table(title, made if as_json else shown(made), as_json, notices=differing)


def rows(trace: Trace) -> list[dict[str, Any]]:
    """Return the phases of a run: printed name, time in ns and page faults, dirty pages of gets."""
    return [
        {
            "phase": phase.name,
            "time_ns": phase.end_ns - phase.start_ns,
            "pf_taken": phase.counters["pf_taken"],
            **({} if phase.dirty is None else {"dirty_pages": phase.dirty}),
        }
        for phase in trace.phases
        if phase.name
    ]


def experiment(options: Options) -> dict[str, Any]:
    """Return the experiment that the options mean.

    Raises
    ------
    ConfigError
        If an option has no counterpart in the model.
    """
    if options.iterations < LEAST_ITERATIONS:
        raise _refused("-i", options.iterations, "is fewer iterations than the test accepts",
                       f"give at least {LEAST_ITERATIONS}: the first two differ")  # fmt: skip
    _check_what_makes_no_difference(options)
    if options.backing not in BACKING:
        raise _refused("-s", options.backing, "is not a source of backing memory that is modelled",
                       nearest(options.backing, BACKING))  # fmt: skip
    if options.memslots != 1:
        raise _refused("-x", options.memslots, "is more memory slots than the model has",
                       "leave it out: it parts the memory, and the same is walked")  # fmt: skip
    if options.guest_mode != 0:
        raise _refused("-m", options.guest_mode, "is not a guest mode of the model",
                       "leave it out: guests have 4 KiB pages and 48 bits of address")  # fmt: skip
    size = _SIZE.fullmatch(options.memory)
    if size is None:
        raise _refused("-b", options.memory, "is not a size", "write e.g. 512M or 1G")
    per_vcpu = int(size[1]) * _SUFFIX[size[2].lower()]
    kernel, way = reporting(options)
    vm = {
        "kernel": kernel, "vcpus": options.vcpus, "memory": f"{options.vcpus * per_vcpu}B",
        "backing": BACKING[options.backing], "prefaulted": False,
    }  # fmt: skip
    driver = {
        "kind": SOURCE, "iterations": options.iterations, "write_percent": options.write_percent,
        "random_access": options.random_access, "overlap_memory": options.overlap,
        "run_vcpus_while_disabling": options.run_vcpus, "sample": options.sample,
    }  # fmt: skip
    return {
        "schema": 1,
        "id": SOURCE,
        "question": "How long does each phase take?",
        "vm": vm | ({"mmu": "nested"} if options.nested else {}),
        "host": {"profile": options.host},
        "policies": {
            "baseline": options.policy,
            "compare": ["none" if options.policy != "none" else "lazy-drop"],
        },
        "driver": driver | way,
    }


def _check_what_makes_no_difference(options: Options) -> None:
    """Check options that the model ignores as the selftest does, so that typing errors are
    found.
    """
    if options.pin:
        processors = options.pin.split(",")
        if not all(_NUMBER.fullmatch(one) for one in processors):
            raise _refused("-c", options.pin, "is not a list of processors", "write e.g. 0,1,2")
        if len(processors) - options.vcpus not in (0, 1):
            raise _refused("-c", options.pin, f"names {len(processors)} processors for "
                           f"{options.vcpus} vCPUs", "name one for each vCPU, and "
                           "perhaps one more for the main thread")  # fmt: skip
    if options.offset and not _OFFSET.fullmatch(options.offset):
        raise _refused("-p", options.offset, "is not an address", "write e.g. 0x40000000")


def reporting(options: Options) -> tuple[str, dict[str, str]]:
    """Return the kernel, and the key for its way of reporting: the newest that it has.

    Raises
    ------
    ConfigError
        If there is no such policy, or the kernel cannot have it.
    """
    ways = ("off",) if options.no_manual_protect else ("initially-all-set", "on")
    for way in ways:
        with contextlib.suppress(MisfitError):
            kernel = choose(options.policy, reporting=MANUAL[way]).kernel
            return kernel.name, {"manual_protect": way}
    try:
        return choose(options.policy).kernel.name, {}
    except MisfitError as misfit:
        raise misfit.complaint(SOURCE) from None


def _refused(option: str, value: Any, rule: str, remedy: str) -> ConfigError:
    return ConfigError.of(SOURCE, option, value, rule, remedy)


def printed(trace: Trace) -> list[str]:
    """Return the selftest's lines for a run: each phase's time, then totals and averages."""
    times = simulated_times(trace)
    lines = []
    for name, ns in times.items():
        if name.endswith(" time"):
            lines.append(f"{name}: {seconds(ns)}s")
        elif name.endswith(TOTAL):
            what = name.removesuffix(TOTAL)
            mean = times[what + AVERAGE]
            lines.append(f"{what} took {seconds(ns)}s. (Avg {seconds(mean)}s/iteration)")
    return lines


def seconds(ns: int) -> str:
    """Write nanoseconds as the selftest does: seconds with nine decimals."""
    return f"{ns // 10**9}.{ns % 10**9:09d}"
