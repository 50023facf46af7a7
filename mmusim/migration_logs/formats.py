"""The tools that write logs of migrations, and their readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from mmusim.base.errors import ConfigError
from mmusim.base.inputs import read_text
from mmusim.base.parsing import before_open_end
from mmusim.base.recordings import MIGRATION, recording_of
from mmusim.migration_logs import cloud_hypervisor, info_migrate, libvirt, proxmox, qemu
from mmusim.migration_logs.log import MigrationLog

OPEN_END: Final = "the last line has no line end, may be cut and is left out"
"""The note of a log that ends in the middle of a line which says something."""


class Format(NamedTuple):
    """A kind of log: its name, a test that recognises it, and its reader."""

    name: str
    recognise: Callable[[str], bool]
    read: Callable[[str], MigrationLog]
    in_lines: bool = True  # a fact ends with its line


FORMATS: Final = (
    Format("QMP query-migrate (JSON)", qemu.is_qmp, qemu.read_qmp, in_lines=False),
    Format(
        "Cloud Hypervisor's log (at level debug)",
        cloud_hypervisor.is_cloud_hypervisor,
        cloud_hypervisor.read_cloud_hypervisor,
    ),
    Format("Proxmox's task log of qm migrate", proxmox.is_proxmox, proxmox.read_proxmox),
    Format("QEMU's info migrate", info_migrate.is_info_migrate, info_migrate.read_info_migrate),
    Format("virsh domjobinfo", libvirt.is_domjobinfo, libvirt.read_domjobinfo),
)
"""In the order in which they are tried: the most particular first."""


def read_log(path: str | Path) -> MigrationLog:
    """Read the log of a migration, whichever of the known tools wrote it.

    Raises
    ------
    ConfigError
        If the file cannot be read, no tool is recognised, or the log has no fact.
    """
    text = read_text(path)
    for kind in FORMATS:
        if not kind.recognise(text):
            continue
        try:
            try:
                log = kind.read(text)
            except OverflowError:  # digits that no float has
                raise ValueError("has a number that is too large") from None
            if log.page_size < 1:
                raise ValueError(f"has pages of {log.page_size} bytes")
            return _without_open_end(kind, text, log) if kind.in_lines else log
        except ValueError as error:
            raise ConfigError.of(
                str(path), "file", None, f"looks like {kind.name} and {error}",
                "give the whole answer of the command",
            ) from None  # fmt: skip
    known = recording_of(text)
    if known is not None and known is not MIGRATION:
        raise ConfigError.of(
            str(path), "file", None,
            f"is not the log of a migration but the output of {known.what}",
            known.remedy,
        )  # fmt: skip
    raise ConfigError.of(
        str(path), "file", None, "is not the log of a migration that mmusim knows",
        f"give one of: {'; '.join(kind.name for kind in FORMATS)}; if it is one of them in a "
        "language that mmusim does not know, run the command again with LC_ALL=C",
    )  # fmt: skip


def _without_open_end(kind: Format, text: str, log: MigrationLog) -> MigrationLog:
    """Return what the whole lines of a log say, if the rest of it says more: it may be cut inside a
    number.
    """
    whole = before_open_end(text)
    if whole == text:
        return log
    try:
        found = kind.read(whole)
    except ValueError:
        raise ValueError("is cut in its first lines") from None
    if replace(found, notes=log.notes) == log:
        return log
    return replace(found, notes=(*found.notes, OPEN_END))
