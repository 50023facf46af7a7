"""``mmusim import``: an experiment from the log of a real migration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer


def import_(
    log: Annotated[Path, typer.Argument(help="The log of a migration.", metavar="FILE")],
    to: Annotated[
        Path | None,
        typer.Option("--to", help="The experiment file to write [NAME.toml].", show_default=False),
    ] = None,
    vcpus: Annotated[int | None, typer.Option(min=1, max=4096, help="vCPUs of the guest.")] = None,
    memory: Annotated[str, typer.Option(help="The guest's memory, e.g. 64GiB.")] = "",
    bandwidth: Annotated[str, typer.Option(help="Bandwidth of the network, e.g. 10Gbit/s.")] = "",
    dirty_rate: Annotated[
        str, typer.Option(help="Pages per second, or data per second, e.g. 800MB/s.")
    ] = "",
    downtime_limit: Annotated[str, typer.Option(help="The downtime limit, e.g. 300ms.")] = "",
    kernel: Annotated[str, typer.Option(help="Kernel of the source host, e.g. linux-6.13.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write an experiment file that repeats a migration, from the log of the migration.

    Reads QMP query-migrate, info migrate, virsh domjobinfo, and the logs of Cloud Hypervisor and
    Proxmox. mmusim assumes missing values and marks them, or asks for them by name.
    """
    from mmusim.base.errors import ConfigError, named
    from mmusim.base.files import whole
    from mmusim.base.units import parse_bytes, parse_ns, parse_rate
    from mmusim.migration_logs import experiment_text, read_log
    from mmusim.migration_logs.experiment_file import Given

    def read(option: str, text: str, parse: Any) -> Any:
        if not text:
            return None
        try:
            return parse(text)
        except ValueError as error:
            rule, _, remedy = str(error).partition("; ")
            raise ConfigError.of("import", option, text, rule, remedy) from None

    def pages(text: str) -> float:
        if re.fullmatch(r"[0-9][0-9_]*(\.[0-9]+)?", text):
            return float(text)
        return parse_rate(text) / 4096

    given = Given(
        vcpus=vcpus,
        memory=read("--memory", memory, parse_bytes),
        bandwidth=read("--bandwidth", bandwidth, parse_rate),
        dirty_pages_rate=read("--dirty-rate", dirty_rate, pages),
        downtime_limit_ns=read("--downtime-limit", downtime_limit, parse_ns),
        kernel=_known(kernel),
    )
    name = re.sub(r"[^a-z0-9]+", "-", log.stem.lower())[:60].strip("-") or "migration"
    target = to or Path(f"{name}.toml")
    if target.exists() and not overwrite:
        raise ConfigError.of(
            "import",
            "--to",
            str(target),
            "is there already",
            "choose another name, or --overwrite",
        )
    made = experiment_text(read_log(log), named(log.name), name, given)
    _check(made.text, str(target))
    with whole(target) as unfinished:
        unfinished.write_text(made.text, encoding="utf-8")
    for note in made.not_used:
        typer.echo(f"the log: {note}")
    for key, why in made.assumed.items():
        typer.echo(f"assumed {key}: {why}")
    typer.echo(f"written: {target}; `mmusim run {target}` prints reported beside simulated")


def _known(kernel: str) -> str | None:
    from mmusim.base.errors import ConfigError
    from mmusim.policies import kernel_named

    if not kernel:
        return None
    try:
        kernel_named(kernel)
    except ValueError as error:
        rule, _, remedy = str(error).partition("; ")
        raise ConfigError.of("import", "--kernel", kernel, rule, remedy) from None
    return kernel


def _check(text: str, source: str) -> None:
    """Refuse an experiment that cannot run before it is written, e.g. a rate that carries no
    page.
    """
    from mmusim.base.parsing import parse_toml
    from mmusim.config.settings import settings_of

    settings_of(parse_toml(text, source), source, Path())
