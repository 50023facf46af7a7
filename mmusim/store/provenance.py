"""The provenance of a result: versions, commit, machine."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from mmusim.base.source_hash import code_hash

if TYPE_CHECKING:
    from mmusim.config.host import HostProfile

_PACKAGE = Path(__file__).parent


@cache
def model_version() -> str:
    """Return the release and a hash of the model's code. Results of other code are never
    mixed in.
    """
    return f"{version('mmusim')}+{code_hash()}"


def provenance() -> dict[str, str]:
    """Return the versions of everything that can change a result, as this process first
    found them.
    """
    return dict(_provenance())


@cache
def _provenance() -> dict[str, str]:
    facts = {
        "mmusim": model_version(),
        "commit": commit(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    return facts | {name: _installed(name) for name in ("simpy", "numpy", "scipy", "numba")}


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def profile_hash(profile: HostProfile) -> str:
    """Return a hash of all costs of a host, with the notes on their sources.

    Plausible ranges do not count: they decide which other hosts are drawn, not what this one takes.
    """
    data = profile.model_dump(
        mode="json",
        exclude={"costs": {"__all__": {"plausible"}}, "machine": {"plausible"}},
    )
    text = json.dumps(data, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def commit() -> str:
    """Return the git commit of the model, marked if the tree differs from it, or "unknown"."""
    describe = ["git", "-C", str(_PACKAGE), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(describe, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
