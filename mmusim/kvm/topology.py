"""Nodes, cores, threads and caches of this machine, as sysfs shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

SYSTEM: Final = Path("/sys/devices/system")
PRIVATE_LEVEL: Final = "2"
"""Level of the largest cache that the threads of a core have for themselves."""
SIBLINGS: Final = "topology/thread_siblings_list"


def topology(system: Path = SYSTEM) -> dict[str, Any] | None:
    """Return the keys of ``[machine]`` that sysfs shows, as a file has them; None if it shows none.

    A hypervisor below may show fewer nodes and other cores than the hardware has.
    """
    processors = sorted(system.glob("cpu/cpu[0-9]*"))
    cores = {siblings for cpu in processors if (siblings := _read(cpu, SIBLINGS))}
    if not cores:
        return None
    threads = max(map(_count, cores))
    caches = [size for cpu in processors if (size := _private_cache(cpu))]
    shown: dict[str, Any] = {
        "nodes": max(1, sum(map(_has_processors, system.glob("node/node[0-9]*")))),
        "cores": len(cores),
        "threads_per_core": threads,
    }
    return shown | ({"private_cache": f"{min(caches)}KiB"} if caches else {})


def _read(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text().strip()
    except OSError:
        return ""


def _has_processors(node: Path) -> bool:
    """Tell whether a node has processors. Some have only memory."""
    return not (node / "cpulist").is_file() or bool(_read(node, "cpulist"))


def _count(numbers: str) -> int:
    """Return how many processors a list such as ``0,56`` or ``0-1`` names."""
    total = 0
    for part in numbers.split(","):
        first, _, last = part.partition("-")
        total += int(last or first) - int(first) + 1
    return total


def _private_cache(cpu: Path) -> int:
    """Return the size in KiB of the cache of a core; 0 if it is not shown."""
    for cache in cpu.glob("cache/index[0-9]*"):
        size = _read(cache, "size")
        if _read(cache, "level") == PRIVATE_LEVEL and size.endswith("K"):
            return int(size.removesuffix("K"))
    return 0
