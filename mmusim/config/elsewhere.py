"""Keys of other tools whose meaning has another place here, or none.

Sources: qapi/migration.json of QEMU; libvirt's ``virDomainMigrateParams`` and ``virsh migrate``;
the ``send-migration`` request of Cloud Hypervisor; ``xl migrate`` of Xen; KubeVirt's
``MigrationConfiguration``.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class Elsewhere(NamedTuple):
    """Rule and remedy for such a key."""

    rule: str
    remedy: str


def _not_modelled(effect: str, instead: str) -> Elsewhere:
    return Elsewhere(f"is not modelled; in reality {effect}", instead)


def _is(what: str, snippet: str) -> Elsewhere:
    return Elsewhere(f"is {what} here", f"write {snippet}")


_STOP = _is(
    "a rule of when the guest is stopped",
    'switch_over = { rule = "after-rounds", time = "30s", then = "switch-over" }, or then = '
    '"give-up" or "post-copy"',
)
_ROUNDS = _is(
    "a rule of when the guest is stopped",
    'switch_over = { rule = "after-rounds", rounds = 5, then = "switch-over" }',
)
_RAMP = _is(
    "a rule of when the guest is stopped",
    'switch_over = { rule = "downtime-ramp", least = "150ms", most = "1050ms", step = "100ms", '
    'every = "10s" }',
)
_SNAPSHOT = Elsewhere(
    "is a phase of its own here, and no property of a migration", 'write { do = "snapshot" } in '
    'driver.phases in the place of { do = "migrate" }',
)  # fmt: skip
_CHECKPOINTS = Elsewhere(
    "is a phase of its own here, and no property of a migration",
    'write { do = "checkpoint", every = "600ms" } in driver.phases',
)
_LIMIT = _is("called downtime-limit", 'downtime-limit = "300ms"')
_THREADS = _is("called multifd-channels", "multifd-channels = 4")
_POSTCOPY = _is("the number of rounds before post-copy", "postcopy_after = 1")
_DELTAS = _not_modelled(
    "later rounds send deltas, which are fewer bytes and take time of the source's processor",
    "leave it out; to ask what fewer bytes would do, sweep bandwidth",
)
_PACKED = _not_modelled(
    "pages are fewer bytes on the network and take more time of the senders",
    "leave it out; to ask what that would do, sweep bandwidth and host.costs.c_send_page",
)
_NO_COPY = _not_modelled(
    "senders do not copy pages, which matters where they and not the network are the limit",
    'leave it out; to ask what that would do, write host.costs.c_send_page, e.g. "100ns"',
)
_NO_EFFECT = Elsewhere(
    "has no effect on what is simulated: the guest, KVM, the migration thread and the channel",
    "leave it out",
)

_KEYS: Final = {
    "dirty_rate": Elsewhere(
        "is not a property of the channel but of the workload",
        'write a workload with pattern = "dirty-rate" and dirty_rate, e.g. "800MB/s"',
    ),
    "timeout_strategy": _STOP, "timeout": _STOP, "timeout_s": _STOP, "timeout_suspend": _STOP,
    "timeout_postcopy": _STOP, "completion_timeout": _STOP, "completion_timeout_per_gib": _STOP,
    "allow_workload_disruption": _STOP,
    "max_iter": _ROUNDS, "max_iterations": _ROUNDS,
    "downtime_schedule": _RAMP, "downtime_steps": _RAMP, "tune_downtime": _RAMP,
    "background_snapshot": _SNAPSHOT,
    "x_colo": _CHECKPOINTS, "colo": _CHECKPOINTS, "x_checkpoint_delay": _CHECKPOINTS,
    "downtime": _LIMIT, "downtime_ms": _LIMIT, "max_downtime": _LIMIT,
    "parallel": _THREADS, "parallel_connections": _THREADS, "multifd": _THREADS,
    "connections": _THREADS,
    "postcopy_ram": _POSTCOPY, "allow_post_copy": _POSTCOPY, "permit_post_copy": _POSTCOPY,
    "auto_converge_initial": _is("called cpu-throttle-initial", 'cpu-throttle-initial = "20%"'),
    "auto_converge_increment": _is(
        "called cpu-throttle-increment", 'cpu-throttle-increment = "10%"'
    ),
    "dirty_limit_period": _not_modelled(
        "the dirty rate of each vCPU is measured for so long",
        "leave it out; vcpu-dirty-limit is the limit itself",
    ),
    "xbzrle": _DELTAS, "xbzrle_cache_size": _DELTAS,
    "compress": _PACKED, "compress_level": _PACKED, "compression": _PACKED,
    "multifd_compression": _PACKED, "comp_methods": _PACKED,
    "zero_copy_send": _NO_COPY, "zero_copy": _NO_COPY, "zerocopy": _NO_COPY,
    "rdma": _not_modelled(
        "the network card reads pinned pages, and the migration thread copies none",
        "leave it out; to ask what a faster channel would do, sweep bandwidth",
    ),
    "mapped_ram": _not_modelled(
        "each page has a fixed place in a file, where a later copy replaces the earlier one",
        "leave it out; the file's rate is bandwidth",
    ),
    "tls_creds": _not_modelled(
        "senders encrypt each page, which takes their processors' time",
        "leave it out; to ask what that would do, raise host.costs.c_send_page",
    ),
    "max_postcopy_bandwidth": _not_modelled(
        "pages that nobody asked for are sent more slowly in post-copy", "leave it out",
    ),
    "release_ram": _NO_EFFECT, "return_path": _NO_EFFECT, "events": _NO_EFFECT,
    "validate_uuid": _NO_EFFECT, "announce_initial": _NO_EFFECT, "announce_max": _NO_EFFECT,
    "pause_before_switchover": _NO_EFFECT, "late_block_activate": _NO_EFFECT,
    "direct_io": _NO_EFFECT, "live": _NO_EFFECT, "p2p": _NO_EFFECT, "tunnelled": _NO_EFFECT,
}  # fmt: skip
ELSEWHERE: Final = {
    **{f"driver.migration.{key}": answer for key, answer in _KEYS.items()},
    "driver.phases.checkpoint_every": Elsewhere(
        "is not a property of a phase but a phase of its own",
        'write { do = "checkpoint", every = "600ms" }',
    ),
}
"""Dotted keys, without the numbers of list entries and with underscores."""
_NUMBER: Final = re.compile(r"\[\d+\]")


def _plain(word: str) -> str:
    return re.sub("[-_]", "", word).lower()


_FOUND: Final = {_plain(key): answer for key, answer in ELSEWHERE.items()}


def elsewhere(key: str) -> Elsewhere | None:
    """Return rule and remedy for a dotted key, however its words are joined; None if unknown."""
    return _FOUND.get(_plain(_NUMBER.sub("", key)))
