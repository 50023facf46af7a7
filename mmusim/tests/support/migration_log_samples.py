"""Logs of migrations in all their forms, each a sample: how it is written, what it says and lacks.

Each sample is made from the same few numbers.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from typing import Any, NamedTuple

from mmusim.migration_logs import libvirt

GIB, MIB = 1 << 30, 1 << 20


class Facts(NamedTuple):
    """The migration that every sample tells of."""

    memory: int = 8 * GIB
    sent: int = 12 * GIB
    left: int = 1 * GIB
    ms: int = 60_000
    downtime: int = 40
    syncs: int = 5
    rate: int = 9_000
    mib_s: int = 200
    zero: int = 700_000
    normal: int = 2_000_000


def qmp(
    f: Facts, status: str = "active", more: dict[str, Any] | None = None, *, without: str = ""
) -> dict[str, Any]:
    ram = {
        "total": f.memory, "transferred": f.sent, "remaining": f.left, "duplicate": f.zero,
        "normal": f.normal, "dirty-sync-count": f.syncs, "dirty-pages-rate": f.rate,
        "page-size": 4096, "mbps": f.mib_s * MIB * 8 / 1e6,
    }  # fmt: skip
    made = {"status": status, "total-time": f.ms, "setup-time": 7, "ram": ram} | (more or {})
    if status == "completed":
        made["downtime"] = f.downtime
    for name in without.split():
        ram.pop(name, None)
        made.pop(name, None)
    return made


def old_hmp(f: Facts, status: str = "active", *, without: str = "", unit: str = "ms") -> str:
    lines = {
        "Migration status": status, "total time": f"{f.ms} {unit}",
        "downtime" if status == "completed" else "expected downtime": f"{f.downtime} {unit}",
        "setup": f"7 {unit}", "transferred ram": f"{f.sent >> 10} kbytes",
        "throughput": f"{f.mib_s * MIB * 8 / 1e6:.2f} mbps",
        "remaining ram": f"{f.left >> 10} kbytes", "total ram": f"{f.memory >> 10} kbytes",
        "duplicate": f"{f.zero} pages", "normal": f"{f.normal} pages",
        "dirty sync count": f"{f.syncs}", "dirty pages rate": f"{f.rate} pages",
    }  # fmt: skip
    return "".join(f"{k}: {v}\n" for k, v in lines.items() if k not in without.split(","))


def new_hmp(f: Facts, status: str = "active") -> str:
    down = f", down={f.downtime}" if status == "completed" else f", exp_down={f.downtime}"
    return f"""\
Status: \t\t{status}
Time (ms): \t\ttotal={f.ms}, setup=7{down}
RAM info:
  Throughput (Mbps): \t{f.mib_s * MIB * 8 / 1e6:.2f}
  Sizes: \t\tpagesize=4 KiB, total={f.memory / GIB:.3g} GiB
  Transfers: \t\ttransferred={f.sent / GIB:.3g} GiB, remain={f.left / GIB:.3g} GiB
    Page Types: \tnormal={f.normal}, zero={f.zero}
  Page Rates (pps): \ttransfer=28000, dirty={f.rate}
  Others: \t\tdirty_syncs={f.syncs}
"""


def virsh(
    f: Facts, kind: str = "Unbounded", *, language: str = "", point: str = ".", without: str = "",
    operation: str = "Outgoing migration", mib: str = "MiB",
) -> str:  # fmt: skip
    words = LANGUAGES[language] if language else {}

    def size(amount: int) -> str:
        return f"{amount / MIB:-.3f} {mib}".replace(".", point)

    lines = {
        "Job type": words.get(kind, kind), "Operation": operation,
        "Time elapsed": f"{f.ms:<12} ms", "Memory processed": size(f.sent),
        "Memory remaining": size(f.left), "Memory total": size(f.memory),
        "Memory bandwidth": size(f.mib_s * MIB) + "/s", "Dirty rate": f"{f.rate:<12} pages/s",
        "Page size": "4096         bytes", "Iteration": f"{f.syncs}",
        "Constant pages": f"{f.zero}", "Normal pages": f"{f.normal}",
        ("Total" if kind == "Completed" else "Expected") + " downtime": f"{f.downtime:<12} ms",
        "Setup time": f"{7:<12} ms",
    }  # fmt: skip
    return "".join(
        f"{words.get(label, label + ':'):<17} {value}\n"
        for label, value in lines.items()
        if label not in without.split(",")
    )


def raw(f: Facts, kind: int = 2) -> str:
    pairs = {
        "operation": 5, "time_elapsed": f.ms, "memory_total": f.memory,
        "memory_processed": f.sent, "memory_remaining": f.left, "memory_bps": f.mib_s * MIB,
        "memory_dirty_rate": f.rate, "memory_page_size": 4096, "memory_iteration": f.syncs,
        "memory_constant": f.zero, "memory_normal": f.normal, "setup_time": 7,
        "downtime": f.downtime,
    }  # fmt: skip
    return f"Job type: {kind}\n\n" + "".join(f"{k}: {v}\n" for k, v in pairs.items())


def cloud(f: Facts, end: str = "", ms: int | None = None) -> str:
    took = (ms or f.ms) // 2
    line = "cloud-hypervisor: {0}s: <vmm> DEBUG:vmm/src/lib.rs:1423 -- Precopy: iter={1} "
    sizes = (f.memory // MIB, f.left // MIB)
    told = "".join(
        line.format(4 + n, n) + f"curr={curr}MiB total={f.sent // MIB}MiB bw={f.mib_s}.00MiB/s "
        f"transfer={took / 1000 - 0.05:.2f}s overhead=50ms est_downtime={f.downtime}ms "
        f"elapsed={took * (n + 1) / 1000:.2f}s avg_bw={f.mib_s}.00MiB/s\n"
        for n, curr in enumerate(sizes)
    )
    return told + end


def counted(f: Facts) -> str:
    line = "cloud-hypervisor: {}s: <vmm> INFO:vmm/src/lib.rs:1850 -- Dirty memory migration {} of 5"
    return "\n".join(line.format(10 + 2 * n, n) for n in range(f.syncs)) + "\n"


def proxmox(f: Facts, end: str = "migration status: completed", more: str = "") -> str:
    def line(second: int, text: str) -> str:
        return f"2026-10-04 10:{12 + second // 60:02}:{second % 60:02} {text}\n"

    seconds = f.ms // 1000
    first = f.sent - f.mib_s * MIB * (seconds - 2)
    progress = f"of {f.memory / GIB:.1f} GiB VM-state, {f.mib_s}.0 MiB/s{more}"
    return (
        line(0, "starting online/live migration on unix:/run/qemu-server/100.migrate")
        + line(0, "migration downtime limit: 100 ms")
        + line(1, f"migration active, transferred {first / MIB:.1f} MiB {progress}")
        + line(seconds - 1, f"migration active, transferred {f.sent / MIB:.1f} MiB {progress}")
        + line(seconds, f"average migration speed: 999.9 MiB/s - downtime {f.downtime} ms")
        + line(seconds, end)
    )


def old_proxmox(f: Facts) -> str:
    start = "Oct  4 10:12:00 starting online/live migration on tcp:10.0.0.2:60000\n"
    lines = [
        f"Oct  4 10:12:{s:02} migration status: active (transferred {s * f.mib_s * MIB}, "
        f"remaining {f.memory - s * f.mib_s * MIB}), total {f.memory}) , expected downtime 0"
        for s in (1, 4, 8)
    ]
    end = f"Oct  4 10:12:10 migration speed: {f.mib_s}.00 MB/s - downtime {f.downtime} ms"
    return start + "\n".join([*lines, end, "Oct  4 10:12:10 migration status: completed"]) + "\n"


def languages() -> dict[str, dict[str, str]]:
    with libvirt.TRANSLATIONS.open("rb") as file:
        return tomllib.load(file)


LANGUAGES = languages()
BASE = Facts()
SOON = {"expected_downtime_ns": 40e6}
RUNNING = {
    "memory_bytes": BASE.memory, "total_ns": 60e9, "bytes_per_s": 200 * MIB, "rounds": 5,
    "dirty_pages_rate": 9_000, "zero_pages": 700_000, "normal_pages": 2_000_000,
    "remaining_bytes": GIB, "transferred_bytes": 12 * GIB, "setup_ns": 7e6,
}  # fmt: skip
DONE = {"status": "completed", "downtime_ns": 40e6}
PLACES = {"memory_bytes": BASE.memory, "bytes_per_s": 200 * MIB}


def lacks(*names: str) -> dict[str, Any]:
    return {name: value for name, value in RUNNING.items() if name not in names} | dict.fromkeys(
        names
    )


def quoted(*answers: Any) -> str:
    return "\n".join(json.dumps(a) for a in answers)


class Sample(NamedTuple):
    """A way to write the facts, what is read from it, and what has to be asked for."""

    write: Callable[[Facts], str]
    reads: dict[str, Any]
    asks: tuple[str, ...] = ()


FAILED = {"status": "failed", "reason": "Connection reset by peer"}
SAMPLES: dict[str, Sample] = {
    # QMP
    "QMP, raw": Sample(lambda f: quoted(qmp(f)), RUNNING | {"status": "active"}),
    "QMP, in return": Sample(lambda f: quoted({"return": qmp(f), "id": "a-7"}), RUNNING),
    "QMP, indented": Sample(lambda f: json.dumps({"return": qmp(f)}, indent=4), RUNNING),
    "QMP, a list": Sample(lambda f: json.dumps([qmp(f)]), RUNNING),
    "QMP, behind time stamps": Sample(
        lambda f: f"2026-10-04T10:12:00 < {quoted({'return': qmp(f)})}\n", RUNNING
    ),
    "QMP, completed": Sample(lambda f: quoted(qmp(f, "completed")), RUNNING | DONE),
    "QMP, failed": Sample(
        lambda f: quoted(qmp(f, "failed", {"error-desc": FAILED["reason"]})), RUNNING | FAILED
    ),
    "QMP, failed at once": Sample(
        lambda f: quoted({"return": {"status": "failed", "error-desc": FAILED["reason"]}}),
        FAILED, ("memory", "bandwidth"),
    ),
    "QMP, cancelled": Sample(
        lambda f: quoted(qmp(f), qmp(f, "cancelled")), RUNNING | {"status": "cancelled"}
    ),
    "QMP, event": Sample(
        lambda f: quoted(qmp(f), {"event": "MIGRATION", "data": {"status": "failed"},
                                  "timestamp": {"seconds": 9, "microseconds": 1}}),
        RUNNING | {"status": "failed"},
    ),
    "QMP, post-copy": Sample(
        lambda f: quoted(qmp(f, "postcopy-active", {"postcopy-blocktime": 400})),
        RUNNING | {"status": "postcopy-active", "postcopy_blocktime_ns": 400e6},
    ),
    "QMP, set-up": Sample(
        lambda f: quoted({"status": "setup"}), {"status": "setup"}, ("memory", "bandwidth")
    ),
    "QMP of QEMU 1.1": Sample(
        lambda f: quoted(qmp(f, without="duplicate normal dirty-sync-count dirty-pages-rate "
                             "page-size mbps setup-time")),
        lacks("zero_pages", "normal_pages", "rounds", "dirty_pages_rate", "bytes_per_s",
              "setup_ns"),
    ),
    "QMP, parameters": Sample(
        lambda f: quoted(qmp(f), {"return": {"downtime-limit": 150, "max-bandwidth": 10**8,
                                             "multifd-channels": 4}}),
        RUNNING | {"downtime_limit_ns": 150e6, "max_bytes_per_s": 10**8, "channels": 4},
    ),
    "QMP, capabilities": Sample(
        lambda f: quoted({"return": [{"capability": "auto-converge", "state": True}]}, qmp(f)),
        RUNNING | {"auto_converge": True},
    ),
    "QMP, cut in ram": Sample(
        lambda f: json.dumps({"return": qmp(f)}).partition('"normal"')[0],
        lacks("normal_pages", "rounds", "dirty_pages_rate", "bytes_per_s"),
    ),
    "QMP, cut before ram": Sample(
        lambda f: json.dumps({"return": qmp(f)}, indent=2).partition('"ram"')[0],
        {"status": "active", "total_ns": 60e9}, ("memory", "bandwidth"),
    ),
    "QMP, a cut line first": Sample(
        lambda f: quoted(qmp(f))[:90] + "\n" + quoted(qmp(f, "completed")), RUNNING | DONE
    ),
    "QMP, a line cut in a number": Sample(
        lambda f: quoted(qmp(f)).partition('"remaining"')[0] + '"remaining": 10'
        + quoted(qmp(f, "completed")), RUNNING | DONE,
    ),
    # info migrate
    "info migrate": Sample(old_hmp, RUNNING | SOON | {"dirty_pages_rate": 9_000}),
    "info migrate, milliseconds": Sample(lambda f: old_hmp(f, unit="milliseconds"), RUNNING | SOON),
    "info migrate, completed": Sample(lambda f: old_hmp(f, "completed"), RUNNING | DONE),
    "info migrate, failed": Sample(
        lambda f: old_hmp(f, f"failed ({FAILED['reason']})"), RUNNING | FAILED
    ),
    "info migrate, cancelled": Sample(
        lambda f: "Migration status: cancelled\ntotal time: 0 ms\n", {"status": "cancelled"},
        ("memory", "bandwidth"),
    ),
    "info migrate, without a rate": Sample(
        lambda f: old_hmp(f, without="throughput,dirty pages rate"),
        lacks("bytes_per_s", "dirty_pages_rate"),
    ),
    "info migrate, without the sizes": Sample(
        lambda f: old_hmp(f, without="total ram"), lacks("memory_bytes"), ("memory",)
    ),
    "info migrate, with capabilities": Sample(
        lambda f: "capabilities: xbzrle: off auto-converge: on postcopy-ram: off \n" + old_hmp(f),
        RUNNING | {"auto_converge": True},
    ),
    "info migrate, by virsh": Sample(lambda f: old_hmp(f).replace("\n", "\r\n"), RUNNING),
    "info migrate, another unit": Sample(
        lambda f: old_hmp(f).replace(f"{f.memory >> 10} kbytes", "8 EiB"), lacks("memory_bytes"),
        ("memory",),
    ),
    "info migrate of 10.1": Sample(new_hmp, RUNNING | SOON),
    "info migrate of 10.1, completed": Sample(lambda f: new_hmp(f, "completed"), RUNNING | DONE),
    "info migrate of 10.1, failed": Sample(
        lambda f: new_hmp(f, f"failed ({FAILED['reason']})"), RUNNING | FAILED
    ),
    # virsh domjobinfo
    "virsh": Sample(virsh, RUNNING | SOON | {"status": "active"}),
    "virsh, completed": Sample(lambda f: virsh(f, "Completed"), RUNNING | DONE),
    "virsh, failed": Sample(lambda f: virsh(f, "Failed"), RUNNING | {"status": "failed"}),
    "virsh, cancelled": Sample(lambda f: virsh(f, "Cancelled"), RUNNING | {"status": "cancelled"}),
    "virsh, powers of 1,000": Sample(
        lambda f: virsh(f, mib="MB").replace(" MB/s", " MiB/s"),
        RUNNING | {"memory_bytes": 8192 * 10**6, "transferred_bytes": 12288 * 10**6,
                   "remaining_bytes": 1024 * 10**6},
    ),
    "virsh, older": Sample(
        lambda f: virsh(f, without="Dirty rate,Page size,Iteration,Memory bandwidth,Setup time"),
        lacks("dirty_pages_rate", "rounds", "bytes_per_s", "setup_ns"),
    ),
    "virsh in French": Sample(lambda f: virsh(f, point=","), RUNNING),
    "virsh, raw": Sample(raw, RUNNING | {"status": "active"}),
    "virsh, raw and failed": Sample(lambda f: raw(f, 4), RUNNING | {"status": "failed"}),
    "virsh, raw and completed": Sample(lambda f: raw(f, 3), RUNNING | DONE),
    **{
        f"virsh in {code}": Sample(
            lambda f, code=code: virsh(f, language=code, point=","), RUNNING  # type: ignore[misc]
        )
        for code in LANGUAGES
    },
    # Cloud Hypervisor
    "Cloud Hypervisor": Sample(cloud, PLACES | {"total_ns": 60e9, "rounds": 2}),
    "Cloud Hypervisor, completed": Sample(
        lambda f: cloud(f, f"INFO:Migration completed after {f.ms / 1000 + 1:.1f}s with a downtime "
                        f"of {f.downtime}ms (goal was 300ms)\n"),
        PLACES | DONE | {"total_ns": 61e9, "downtime_limit_ns": 300e6},
    ),
    "Cloud Hypervisor, failed": Sample(
        lambda f: cloud(f, f"ERROR:Migration failed: {FAILED['reason']}\n"), PLACES | FAILED
    ),
    "Cloud Hypervisor, cut": Sample(
        lambda f: cloud(f).rpartition("curr=")[0], PLACES | {"total_ns": 30e9, "rounds": 1}
    ),
    "Cloud Hypervisor before 2026": Sample(
        counted, {"rounds": 6, "memory_bytes": None}, ("memory", "bandwidth")
    ),
    # Proxmox
    "Proxmox": Sample(proxmox, PLACES | DONE | {"total_ns": 60e9, "downtime_limit_ns": 100e6}),
    "Proxmox, failed": Sample(
        lambda f: proxmox(f, f"migration status error: failed - {FAILED['reason']}"),
        PLACES | FAILED,
    ),
    "Proxmox, cancelled": Sample(
        lambda f: proxmox(f, "migration status error: cancelled"),
        PLACES | {"status": "cancelled"},
    ),
    "Proxmox, stopped by the user": Sample(
        lambda f: proxmox(f, "ERROR: online migrate failure - interrupted by signal"),
        PLACES | {"status": "cancelled"},
    ),
    "Proxmox, a guest that writes": Sample(
        lambda f: proxmox(f, more=f", VM dirties lots of memory: {f.rate / 256:.4f} MiB/s"),
        PLACES | {"dirty_pages_rate": 9_000},
    ),
    "Proxmox before 6.3": Sample(
        old_proxmox, PLACES | DONE | {"total_ns": 10e9, "transferred_bytes": 1600 * MIB}
    ),
    "Proxmox, cut": Sample(
        lambda f: "".join(proxmox(f).splitlines(keepends=True)[:3]), {"memory_bytes": 8 * GIB}
    ),
}  # fmt: skip
"""Of the two kinds of "lacks", None stands for a fact that the sample does not have."""
