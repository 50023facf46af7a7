"""``mmusim workload watch``: how often a running process writes its pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def watch(
    pid: Annotated[int, typer.Argument(min=1, max=1 << 22, help="The process, e.g. a QEMU.")],
    to: Annotated[Path, typer.Option("--to", help="The workload file to write (TOML).")],
    every: Annotated[str, typer.Option(help="Time from one question to the next.")] = "100ms",
    times: Annotated[int, typer.Option(min=1, max=100_000, help="Number of questions.")] = 100,
    at_least: Annotated[
        str, typer.Option(help="Leave smaller mappings out; a guest's memory is large.")
    ] = "1MiB",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Ask Linux which pages a process writes, and write a workload with these rates.

    The kernel tells by PAGEMAP_SCAN (Linux 6.7) or soft-dirty bits. The process runs on.
    """
    import tomli_w

    from mmusim.base.errors import ConfigError
    from mmusim.base.files import whole
    from mmusim.base.units import PAGE, parse_bytes, parse_ns, show_bytes
    from mmusim.process_memory import watch as watched

    def read(option: str, text: str, parse: Any) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            rule, _, remedy = str(error).partition("; ")
            raise ConfigError.of("workload watch", option, text, rule, remedy) from None

    interval, least = read("--every", every, parse_ns), read("--at-least", at_least, parse_bytes)
    if not 1e6 <= interval <= 60e9:
        raise ConfigError.of(
            "workload watch", "--every", every, "must lie between 1ms and 60s", "write e.g. 100ms"
        )
    if to.exists() and not overwrite:
        raise ConfigError.of(
            "workload watch", "--to", str(to), "is there already",
            "choose another name, or --overwrite",
        )  # fmt: skip
    if not to.parent.is_dir():  # known before the watching
        raise ConfigError.of(
            "workload watch", "--to", str(to), "the folder does not exist", "make it first"
        )
    made = watched(pid, interval / 1e9, times, least)
    rate = f"{made.dirty_pages_per_s * PAGE / 1e6:,.4g} MB"
    head = (
        f"# Process {pid}, by {made.way}: {made.memory_pages:,} pages watched in {times:,} "
        f"intervals of {made.seconds / times * 1e3:.4g} ms.\n"
        f"# {len(made.found):,} pages were written; {rate}/s of distinct pages in an interval.\n"
    )
    if made.always:
        head += (
            f"# {made.always:,} pages were written in every interval, so their rate is a lower "
            "bound: ask more often.\n"
        )
    with whole(to) as unfinished:
        unfinished.write_text(head + tomli_w.dumps(made.workload()), encoding="utf-8")
    typer.echo(head.replace("# ", ""), nl=False)
    typer.echo(f"written: {to}; use it in a guest with {show_bytes(made.memory_pages * PAGE)}")
