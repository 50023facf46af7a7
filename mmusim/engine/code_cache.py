"""The folder for compiled code, with a checksum of every file.

The key of Numba's own cache contains the file of a function but not the files of the functions that
it calls. So each state of the model's code has its own cache folder, and the cache is never stale.
Numba's key also contains the place and the time of the file, and the processor. So each combination
of these has its own folder too. Numba accepts everything in the folder, and one process compiles
for all.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

from mmusim.base.errors import ConfigError
from mmusim.base.files import check_place, whole
from mmusim.base.source_hash import code_hash

BOUNDS: Final = bool(os.environ.get("MMUSIM_BOUNDSCHECK"))
"""Whether compiled code checks indices; slow, for tests."""
_log: Final = logging.getLogger(__name__)
SUMS: Final = "checksums.json"
"""In a cache: name of each file -> its BLAKE2 checksum, written when all is compiled."""
TEXT: Final = ".txt"
"""How names of files end that :func:`kept_text` keeps."""
ROOM: Final = 4 << 20
"""Bytes that there must be for compiled code, before it is compiled."""
_KEPT: Final = 4  # caches of as many states of the code
ENTRY: Final = Path(__file__).parent / "compiled" / "loop.py"
"""The file of the functions that Python calls: Numba's cache is theirs."""


def cache_folder() -> Path:
    """Return the folder for compiled code. Its name has hashes of the source and of
    :func:`taken_for`.
    """
    root = os.environ.get("MMUSIM_CACHE_DIR")
    if root:
        base = Path(root)
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmusim"
    taken = hashlib.blake2b(repr(taken_for(ENTRY)).encode(), digest_size=4).hexdigest()
    return base / f"{code_hash()}-numba-{version('numba')}-{taken}{'-checked' if BOUNDS else ''}"


def taken_for(entry: Path) -> tuple[object, ...]:
    """Return what must be the same, beside the source, for Numba to take code from its cache.

    The path of the file of the entries, the time and size of that file, the kind of Python, name
    and features of the processor.
    """
    from llvmlite import binding

    stat = entry.stat()
    return (
        str(entry), stat.st_mtime, stat.st_size, sys.implementation.cache_tag,
        binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten(),
    )  # fmt: skip


def is_cached() -> bool:
    """Tell whether the compiled code of this source exists and has the checksums that were
    written.
    """
    folder = cache_folder()
    try:
        noted = json.loads((folder / SUMS).read_text(encoding="utf-8"))
        return bool(noted) and noted == _sums(folder)
    except (OSError, ValueError):
        return False


def kept_text(name: str, make: Callable[[], str]) -> str:
    """Return a text that depends on the source alone: the one in the folder, or a new one.

    Parameters
    ----------
    name : str
        Of the file, with :data:`TEXT` at the end. A checksum is its first line.
    make : callable
        Makes the text if the file is missing or damaged.
    """
    path = cache_folder() / name
    with suppress(OSError, UnicodeDecodeError):
        noted, _, text = path.read_text(encoding="utf-8").partition("\n")
        if noted == _sum(text.encode()):
            return text
    text = make()
    with suppress(OSError, ConfigError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as unfinished:
            unfinished.write_text(f"{_sum(text.encode())}\n{text}", encoding="utf-8")
    return text


def _sum(data: bytes) -> str:
    return hashlib.blake2b(data).hexdigest()


def use_cache() -> bool:
    """Keep compiled code in its folder, and delete the code of old sources.

    Damaged or unfinished code is compiled again. Return whether code can be kept: where the folder
    cannot be written, or has no room, each process compiles for itself, and a warning says so.
    """
    folder = cache_folder()
    known = is_cached()
    if not known:
        damaged = (folder / SUMS).exists()
        _log.warning(
            "%s: about a minute",
            "the compiled engine is damaged and is compiled again" if damaged
            else "compiling the engine for this machine, once",
        )  # fmt: skip
        for path in folder.rglob("*"):  # not the folder: another process may be compiling into it
            if path.suffix != TEXT:
                with suppress(OSError):
                    path.unlink()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        old = sorted(
            (f for f in folder.parent.iterdir() if "-numba-" in f.name),
            key=lambda f: f.stat().st_mtime,
        )
        for forgotten in old[:-_KEPT]:
            shutil.rmtree(forgotten, ignore_errors=True)
        if not known:
            check_place(folder / SUMS, ROOM)
    except (OSError, ConfigError) as error:
        _log.warning(
            "compiled code cannot be kept (%s), so each process compiles anew; set "
            "MMUSIM_CACHE_DIR to a folder with %d MiB of room", error, ROOM >> 20,
        )  # fmt: skip
        return False
    import numba

    numba.config.CACHE_DIR = str(folder)
    return True


def seal() -> None:
    """Write the checksums of what was compiled, for :func:`is_cached`; do nothing where that
    fails.
    """
    folder = cache_folder()
    if is_cached():
        return
    with suppress(OSError, ConfigError), whole(folder / SUMS) as unfinished:
        unfinished.write_text(json.dumps(_sums(folder), indent=1), encoding="utf-8")


def _sums(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): _sum(path.read_bytes())
        for path in sorted(folder.rglob("*.nb[ci]"))
    }
