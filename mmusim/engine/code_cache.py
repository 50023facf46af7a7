"""The folder for compiled code, with a checksum of every file.

Numba's own cache looks at the file of a function and not at those of the functions that it calls.
So the cache of each state of the model's code is a folder of its own: it never goes stale.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole
from mmusim.base.source_hash import code_hash

BOUNDS: Final = bool(os.environ.get("MMUSIM_BOUNDSCHECK"))
"""Whether compiled code checks indices; slow, for tests."""
_log: Final = logging.getLogger(__name__)
SUMS: Final = "checksums.json"
"""In a cache: name of each file -> its BLAKE2 checksum, written when all is compiled."""
_KEPT: Final = 4  # caches of as many states of the code


def cache_folder() -> Path:
    """Return the folder for compiled code. Its name has a hash of the source."""
    root = os.environ.get("MMUSIM_CACHE_DIR")
    if root:
        base = Path(root)
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmusim"
    return base / f"{code_hash()}-numba-{version('numba')}{'-checked' if BOUNDS else ''}"


def is_cached() -> bool:
    """Tell whether the compiled code of this source exists and is undamaged."""
    folder = cache_folder()
    try:
        noted = json.loads((folder / SUMS).read_text(encoding="utf-8"))
        return bool(noted) and noted == _sums(folder)
    except (OSError, ValueError):
        return False


def use_cache() -> None:
    """Keep compiled code in its folder, and delete the code of old sources.

    Damaged or unfinished code is compiled again.
    """
    folder = cache_folder()
    if not is_cached():
        damaged = (folder / SUMS).exists()
        _log.warning(
            "mmusim: %s: about half a minute",
            "the compiled engine is damaged and is compiled again" if damaged
            else "compiling the engine for this machine, once",
        )  # fmt: skip
        for path in folder.rglob("*"):  # not the folder: another process may be compiling into it
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
    except OSError:
        return  # no cache to be had: compiled anew in each process
    import numba

    numba.config.CACHE_DIR = str(folder)


def seal() -> None:
    """Note the checksums of what was compiled, for :func:`is_cached`."""
    folder = cache_folder()
    if is_cached():
        return
    with suppress(OSError, ConfigError), whole(folder / SUMS) as unfinished:
        unfinished.write_text(json.dumps(_sums(folder), indent=1), encoding="utf-8")


def _sums(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.blake2b(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.nb[ci]"))
    }
