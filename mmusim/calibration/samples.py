"""Raw samples of a calibration: named arrays with their replicate, and the facts around them."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole
from mmusim.base.inputs import read_bytes
from mmusim.base.parsing import parse_json

FORMAT: Final = 1
MOST_UNPACKED: Final = 1 << 30
"""Bytes of a file of samples when it is unpacked. A probe writes some ten million."""
Floats = NDArray[np.float64]


@dataclass(slots=True)
class Samples:
    """Samples by name, e.g. ``fault/write-protected-4K``: one array a replicate, in nanoseconds.

    What has several numbers an observation (a log operation and its sizes) is an array of rows.
    """

    arrays: dict[str, list[Floats]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, values: ArrayLike) -> None:
        """Add what one replicate measured."""
        array = np.asarray(values, np.float64)
        if array.size:
            self.arrays.setdefault(name, []).append(array)

    def merge(self, other: Samples) -> None:
        """Add everything another set holds."""
        for name, arrays in other.arrays.items():
            self.arrays.setdefault(name, []).extend(arrays)

    def of(self, name: str) -> Floats:
        """Return all samples of a name, the replicates joined; none if there are none."""
        return np.concatenate(self.arrays[name]) if name in self.arrays else np.zeros(0)

    def names(self, prefix: str) -> list[str]:
        """Return the names that begin with a prefix."""
        return sorted(name for name in self.arrays if name.startswith(prefix))

    def save(self, path: Path) -> None:
        """Write a compressed file (numpy's npz); whole or not at all.

        Times are rounded to 0.1 ns, below what any clock resolves.
        """
        out: dict[str, Any] = {}
        for name, arrays in self.arrays.items():
            for number, array in enumerate(arrays):
                tenths = np.round(array * 10)
                small = tenths.size == 0 or (tenths.min() >= 0 and tenths.max() < 2**32)
                out[f"{name}#{number}"] = tenths.astype(np.uint32 if small else np.int64)
        head = json.dumps({"format": FORMAT, "facts": self.facts}, sort_keys=True)
        out["head"] = np.frombuffer(head.encode(), np.uint8)
        blob = io.BytesIO()
        np.savez_compressed(blob, **out)
        with whole(path) as unfinished:
            unfinished.write_bytes(blob.getvalue())


def load_samples(path: Path) -> Samples:
    """Read a file of samples.

    Raises
    ------
    ConfigError
        If it cannot be read, is damaged, or has another format.
    """
    data = read_bytes(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            size = sum(member.file_size for member in packed.infolist())
            if size > MOST_UNPACKED:
                raise ValueError(f"it unpacks to {size:,} bytes")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            text = bytes(file["head"]).decode()
            arrays = {name: file[name] / 10.0 for name in file.files if name != "head"}
        in_order = sorted(arrays, key=_by_replicate)
    except Exception as error:  # numpy and zipfile have many words for a damaged file
        raise ConfigError.of(
            str(path), "file", None, f"is not a file of samples, or damaged ({error})",
            "measure again with mmusim probe",
        ) from None  # fmt: skip
    head = parse_json(text, str(path), "head")
    if not isinstance(head, dict) or not isinstance(head.get("facts", {}), dict):
        raise ConfigError.of(
            str(path), "head", None, "is not that of a file of samples",
            "measure again with mmusim probe",
        )  # fmt: skip
    if head.get("format") != FORMAT:
        raise ConfigError.of(
            str(path), "format", head.get("format"), f"is not {FORMAT}",
            "use the mmusim that wrote it, or measure again",
        )  # fmt: skip
    samples = Samples(facts=dict(head.get("facts", {})))
    for name in in_order:
        samples.arrays.setdefault(name.rpartition("#")[0], []).append(arrays[name])
    return samples


def _by_replicate(name: str) -> tuple[str, int]:
    head, _, number = name.rpartition("#")
    return head, int(number)
