"""Where compiled code is kept.

Numba's own cache looks at the file of a function and not at those of the functions that it calls.
So the cache of each state of the model's code is a folder of its own: it never goes stale.
"""

from __future__ import annotations

import logging
import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Final

from mmusim.base.source_hash import code_hash

BOUNDS: Final = bool(os.environ.get("MMUSIM_BOUNDSCHECK"))
"""Whether compiled code checks indices; slow, for tests."""
_log: Final = logging.getLogger(__name__)
_KEPT: Final = 4  # caches of as many states of the code


def cache_folder() -> Path:
    """Return where compiled code is kept: by the user's cache folder and a hash of the source."""
    root = os.environ.get("MMUSIM_CACHE_DIR")
    if root:
        base = Path(root)
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmusim"
    return base / f"{code_hash()}-numba-{version('numba')}{'-checked' if BOUNDS else ''}"


def is_cached() -> bool:
    """Tell whether what this code needs has been compiled before."""
    return any(cache_folder().rglob("*.nbc"))


def use_cache() -> None:
    """Keep compiled code in its folder, and forget that of old states of the source."""
    folder = cache_folder()
    if not is_cached():
        _log.warning("mmusim: compiling the engine for this machine, once: about half a minute")
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
