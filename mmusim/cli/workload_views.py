"""What ``mmusim workload list`` and ``show`` print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

import numpy as np
import typer
from numpy.typing import NDArray

from mmusim.base.errors import ConfigError, nearest
from mmusim.base.units import PAGE, parse_bytes, show_bytes, show_ns
from mmusim.cli.output import table
from mmusim.config.workloads import PATTERNS, load_workload, workload_of
from mmusim.costs.random_streams import Draws, uniforms
from mmusim.workload.base import Pattern
from mmusim.workload.replay import Replay
from mmusim.workload.trace_file import PageTrace, read_trace
from mmusim.workload.working_set import Ints, mean_working_set

STEP: Final = 4  # one window length over the one before
NS_PER_INSTRUCTION: Final = 0.5  # what replay takes unless told otherwise


class Use(NamedTuple):
    """Which pages are read and written when."""

    page: Ints
    write: NDArray[np.bool_]
    at: Ints
    span: int
    unit: str  # of time
    unit_ns: float  # 0: it has no length
    facts: dict[str, Any]


def list_patterns(as_json: bool) -> None:
    """Print every pattern with its parameters and their defaults."""
    rows = [
        {
            "pattern": name,
            "parameters": ", ".join(_parameters(cls)),
            "what_it_is": (cls.__doc__ or "").partition("\n\n")[0].replace("\n    ", " "),
        }
        for name, cls in PATTERNS.items()
    ]
    table("Access patterns", rows, as_json)


def _parameters(cls: Any) -> list[str]:
    """Return parameters as a file has them, `name = default`."""
    fields = [name for name in cls.model_fields if name != "pattern"]
    required = {n: "" for n in fields if cls.model_fields[n].is_required()}
    made = cls(pattern=get_args(cls.model_fields["pattern"].annotation)[0], **required)
    data = made.model_dump(mode="json", include=set(fields))
    return [n if n in required else f"{n} = {json.dumps(data[n])}" for n in fields]


def show(name: str, memory: str, seed: int, as_json: bool) -> None:
    """Print facts of a workload or a trace, and its working sets by window length."""
    use = _use(name, memory, seed)
    written, touched = _curves(use)
    rows = [
        {
            f"window_({use.unit})": window,
            **({"about": show_ns(window * use.unit_ns)} if use.unit_ns else {}),
            "written_pages": written[window],
            "touched_pages": touched[window],
        }
        for window in written
    ]
    facts = {
        **use.facts,
        "accesses": len(use.page),
        "footprint": show_bytes(len(np.unique(use.page)) * PAGE),
        "written": show_bytes(len(np.unique(use.page[use.write])) * PAGE),
        "write_share": f"{np.mean(use.write):.4g}",
    }
    if not as_json:
        for key, value in facts.items():
            typer.echo(f"{key.replace('_', ' ')}: {value}")
    table("Mean number of distinct pages in a window", rows, as_json, facts=facts)


def plot(names: Sequence[str], to: Path) -> None:
    """Draw the writable working sets of several in one figure."""
    from mmusim import plots
    from mmusim.cli.figures import save_figure

    uses = {Path(name).name.partition(".")[0]: _use(name, "64MiB", 1) for name in names}
    units = {use.unit for use in uses.values()}
    if len(units) > 1:
        raise ConfigError.of(
            "workload plot", "NAMES", None, "are traces and patterns, whose windows have no unit "
            "in common", "draw traces and patterns apart",
        )  # fmt: skip
    curves = {name: _curves(use)[0] for name, use in uses.items()}
    save_figure(to, lambda: plots.working_set(curves, units.pop()))


def _curves(use: Use) -> tuple[dict[int, float], dict[int, float]]:
    """Return the writable and the whole working set by window length."""
    windows = [STEP**i for i in range(40) if STEP**i < use.span] + [use.span]
    least = use.facts.get("quantum", 1)  # within a quantum a trace does not tell
    windows = [window for window in windows if window >= least]
    w = use.write
    pairs = ((use.page[w], use.at[w]), (use.page, use.at))
    written, touched = (mean_working_set(p, at, use.span, windows).tolist() for p, at in pairs)
    return dict(zip(windows, written, strict=True)), dict(zip(windows, touched, strict=True))


def _use(name: str, memory: str, seed: int) -> Use:
    if name in PATTERNS:
        return _of_pattern(workload_of({"pattern": name}, Path(), name), memory, seed)
    if name.endswith(".toml"):
        return _of_pattern(load_workload(Path(name)), memory, seed)
    if not Path(name).exists():
        raise ConfigError.of(
            "workload show", "NAME_OR_FILE", name, "is neither a pattern nor a file",
            nearest(name, PATTERNS),
        )  # fmt: skip
    trace = read_trace(name)
    return _of_trace(trace, dict(trace.facts))


def _of_trace(trace: PageTrace, facts: dict[str, Any]) -> Use:
    return Use(
        trace.page, trace.write, trace.at, trace.instructions, "instructions", NS_PER_INSTRUCTION,
        {k: v for k, v in facts.items() if k not in ("footprint", "records") and v != ""},
    )  # fmt: skip


def _of_pattern(workload: Any, memory: str, seed: int) -> Use:
    facts = workload.model_dump(mode="json")
    if isinstance(workload, Replay):
        return _of_trace(read_trace(workload.trace), {**read_trace(workload.trace).facts, **facts})
    try:
        pages = parse_bytes(memory) // PAGE
        if pages < 1:
            raise ValueError('must be at least 4KiB; write e.g. "64MiB"')
    except ValueError as error:
        rule, _, remedy = str(error).partition("; ")
        raise ConfigError.of("workload show", "--memory", memory, rule, remedy) from None
    pattern: Pattern = workload
    draws = Draws(seed)
    made = pattern.accesses(0, pages, lambda p, first, n: uniforms(draws.key(f"{p}0", 0), first, n))
    count = len(made.gfn)
    return Use(made.gfn, made.write, np.arange(count), count, "accesses", 0, facts)
