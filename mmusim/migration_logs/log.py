"""The facts of a migration's log, independent of the tool that wrote it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from mmusim.base.units import PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRound:
    """One round of a migration, the first pass over memory being number 0."""

    number: int
    to_send_bytes: int | None = None  # when the round began
    time_ns: float | None = None
    bytes_per_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationLog:
    """The facts of one migration. What the log does not say is None.

    Sizes are bytes of guest memory, times ns, rates bytes per second; `dirty_pages_rate` is pages
    per second, as in QMP.
    """

    tool: str  # which wrote the log, with its command
    status: str = ""
    reason: str = ""  # why it failed or was cancelled, in the words of the log
    memory_bytes: int | None = None
    total_ns: float | None = None
    setup_ns: float | None = None
    downtime_ns: float | None = None
    expected_downtime_ns: float | None = None
    downtime_limit_ns: float | None = None
    limit_at_start_ns: float | None = None  # QEMU's first expected downtime
    least_left_ns: float | None = None  # time to send the least that was left while it went on
    transferred_bytes: int | None = None
    remaining_bytes: int | None = None
    rounds: int | None = None  # begun so far; QEMU's dirty-sync-count while it runs
    counts_syncs: bool = True  # `rounds` is QEMU's dirty-sync-count; else a number of iterations
    dirty_pages_rate: float | None = None
    bytes_per_s: int | None = None
    max_bytes_per_s: int | None = None  # a limit that was set
    zero_pages: int | None = None
    normal_pages: int | None = None
    throttle: float | None = None  # share, 0 to 1
    page_size: int = PAGE
    postcopy_requests: int | None = None
    postcopy_blocktime_ns: float | None = None
    auto_converge: bool | None = None  # the capability
    channels: int | None = None
    each_round: tuple[LogRound, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)  # what was seen and not used

    def known(self) -> dict[str, Any]:
        """Return the facts that the log has, by name."""
        names = self.__dataclass_fields__
        return {
            name: value for name in names if (value := getattr(self, name)) not in (None, (), "")
        }

    @property
    def has_facts(self) -> bool:
        """Whether the log says anything but the state of the migration."""
        apart = {"tool", "status", "reason", "page_size", "notes", "counts_syncs"}
        return bool(self.known().keys() - apart)

    def updated(self, later: MigrationLog) -> MigrationLog:
        """Return these facts, replaced by those of a later entry of the same log where it has
        them.
        """
        newer = {k: v for k, v in later.known().items() if k not in ("notes", "each_round")}
        if later.page_size == PAGE:
            newer.pop("page_size", None)  # it may not have been said
        if later.status and later.status != self.status and "reason" not in newer:
            newer["reason"] = ""
        return replace(
            self,
            **newer,
            each_round=self.each_round + later.each_round,
            notes=self.notes + tuple(n for n in later.notes if n not in self.notes),
        )
