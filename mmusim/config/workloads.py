"""The access patterns that files can name, and workloads in files of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from mmusim.base.errors import ConfigError
from mmusim.base.parsing import read_toml
from mmusim.base.quantities import Strict, shown
from mmusim.config.load import check
from mmusim.workload.dirty_rate import DirtyRate
from mmusim.workload.hot_cold import HotCold
from mmusim.workload.phased import Phased
from mmusim.workload.pointer_chase import PointerChase
from mmusim.workload.reads_beside_writes import ReadsBesideWrites
from mmusim.workload.replay import Replay
from mmusim.workload.requests import OpenLoopRequests
from mmusim.workload.sequential import Sequential
from mmusim.workload.stress import Stress
from mmusim.workload.uniform import Uniform
from mmusim.workload.write_bursts import WriteBursts
from mmusim.workload.zipf import Zipf

Inline = Annotated[
    Sequential
    | Uniform
    | Zipf
    | HotCold
    | Phased
    | WriteBursts
    | PointerChase
    | OpenLoopRequests
    | Replay
    | ReadsBesideWrites
    | DirtyRate
    | Stress,
    Field(discriminator="pattern"),
]
"""A workload by its pattern and parameters."""

PATTERNS: Final[dict[str, type[BaseModel]]] = {
    get_args(cls.model_fields["pattern"].annotation)[0]: cls
    for cls in get_args(get_args(Inline)[0])
}
"""Every pattern by its name in files."""


class WorkloadFile(BaseModel):
    """A workload kept in a file of its own, as a rule under ``workloads/``.

    Keys beside `file` override those of the file.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    file: Annotated[str, shown("../../workloads/zipf.toml")]
    """Path of the workload file, relative to the experiment file. Other keys of this table override
    those of the file.
    """


def _inline_or_file(value: object) -> str:
    is_file = isinstance(value, WorkloadFile) or (isinstance(value, dict) and "file" in value)
    return "workload-file" if is_file else "inline-workload"


Workload = Annotated[
    Annotated[Inline, Tag("inline-workload")] | Annotated[WorkloadFile, Tag("workload-file")],
    Discriminator(_inline_or_file),
]


class _Alone(Strict):
    workload: Inline


def load_workload(path: Path) -> Inline:
    """Read a workload file.

    Raises
    ------
    ConfigError
        With every complaint about the file.
    """
    return workload_of(read_toml(path), path.parent, str(path))


def workload_of(data: dict[str, Any], folder: Path, source: str) -> Inline:
    """Check parsed data of one workload; `folder` is where relative trace paths start.

    Raises
    ------
    ConfigError
        With every complaint about the data.
    """
    try:
        return check({"workload": anchored(data, folder)}, _Alone, source).workload
    except ConfigError as error:  # the file has no such table, only its contents
        raise ConfigError(
            [replace(c, key=c.key.removeprefix("workload.")) for c in error.complaints]
        ) from None


def inlined(table: Any, folder: Path) -> Any:
    """Return a workload with the contents of its file, if it names one."""
    if not isinstance(table, dict):
        return table  # the model complains about it
    rest = anchored({key: value for key, value in table.items() if key != "file"}, folder)
    if "file" not in table:
        return rest
    path = folder / str(table["file"])
    return anchored(read_toml(path), path.parent) | rest


def anchored(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a workload whose trace, if it has one, has a path relative to this folder."""
    trace = table.get("trace")
    return table | {"trace": str(folder / trace)} if isinstance(trace, str) else table
