"""Code that cannot be kept is compiled and kept nowhere else: a check in a process of its own.

``python -m mmusim.tests.support.code_without_cache FOLDER`` ends with an error if it is kept, and
warns that it is not. In a process that has compiled the engine, Numba cannot link other code with
it (:mod:`mmusim.engine.compiled.joint_compilation`).
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import numba

from mmusim.engine import code_cache
from mmusim.engine.compiled.jit import entry
from mmusim.tests.support.little_room import in_little_room


def main(folder: Path) -> None:
    """Compile a function three times: the cache is no folder, is full, and can be written."""
    numba.config.CACHE_DIR = ""
    source = folder / "source.py"
    source.write_text("def more(x):\n    return x + 1\n")
    spec = importlib.util.spec_from_file_location("source", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    os.environ["MMUSIM_CACHE_DIR"] = str(source / "no folder")
    assert entry("int64(int64)")(module.more)(1) == 2
    assert not list(folder.rglob("*.nb*"))
    os.environ["MMUSIM_CACHE_DIR"] = str(folder / "cache")
    full = in_little_room(lambda: print(entry("int64(int64)")(module.more)(1)), 100_000)
    assert full == "", full
    assert not list(folder.rglob("*.nb*"))
    entry("int64(int64)")(module.more)
    kept = list(folder.rglob("*.nb*"))
    assert kept, "negative control"
    assert all(code_cache.cache_folder() in path.parents for path in kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
