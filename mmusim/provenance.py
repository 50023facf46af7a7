"""Where a result comes from: versions, commit, machine."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from mmusim.source import code_hash

_PACKAGE = Path(__file__).parent


@cache
def model_version() -> str:
    """Return the release and a hash of the model's code: results of other code are not mixed in."""
    return f"{version('mmusim')}+{code_hash()}"


def provenance() -> dict[str, str]:
    """Return versions of everything that can change a result."""
    facts = {
        "mmusim": model_version(),
        "commit": commit(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    return facts | {name: version(name) for name in ("simpy", "numpy", "scipy")}


def commit() -> str:
    """Return the git commit of the model, marked if the tree differs from it, or "unknown"."""
    describe = ["git", "-C", str(_PACKAGE), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(describe, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
