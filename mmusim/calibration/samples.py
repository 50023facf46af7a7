"""Raw samples of a calibration: named arrays with their replicate, and the facts around them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole

FORMAT: Final = 1
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
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            head: Mapping[str, Any] = json.loads(bytes(file["head"]))
            names = [name for name in file.files if name != "head"]
            arrays = {name: file[name] / 10.0 for name in names}
    except OSError as error:
        raise ConfigError.of(
            str(path), "file", None, f"cannot be read ({error.strerror or error})",
            "give a file that mmusim probe has written",
        ) from None  # fmt: skip
    except Exception as error:
        raise ConfigError.of(
            str(path), "file", None, f"is no file of samples, or damaged ({error})",
            "measure again with mmusim probe",
        ) from None  # fmt: skip
    if head.get("format") != FORMAT:
        raise ConfigError.of(
            str(path), "format", head.get("format"), f"is not {FORMAT}",
            "use the mmusim that wrote it, or measure again",
        )  # fmt: skip
    samples = Samples(facts=dict(head["facts"]))
    for name in sorted(arrays, key=_by_replicate):
        samples.arrays.setdefault(name.rpartition("#")[0], []).append(arrays[name])
    return samples


def _by_replicate(name: str) -> tuple[str, int]:
    head, _, number = name.rpartition("#")
    return head, int(number)
