"""One stored run: what names it, and its result as bytes with a checksum."""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any, NamedTuple


class Key(NamedTuple):
    """What decides a result. Two runs of one key are the same run."""

    cell: str  # hash of the resolved configuration
    policy: str
    seed: int
    engine: str
    version: str  # of the model's code

    def __str__(self) -> str:
        """Name the run for messages."""
        return f"run of cell {self.cell}, {self.policy}, seed {self.seed} ({self.engine})"


def pack(record: dict[str, Any]) -> bytes:
    """Return a record as bytes: JSON, deflated. Histograms are sparse, so a run takes 1 to 3 kB."""
    return zlib.compress(json.dumps(record, separators=(",", ":")).encode())


def unpack(packed: bytes) -> dict[str, Any]:
    """Return the record of :func:`pack`."""
    record: dict[str, Any] = json.loads(zlib.decompress(packed))
    return record


def checksum(key: Key, packed: bytes) -> bytes:
    """Return a hash of a result and of what it is the result of."""
    name = "\0".join(map(str, key)).encode()
    return hashlib.blake2b(name + b"\0" + packed, digest_size=8).digest()
