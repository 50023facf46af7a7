"""Files are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmusim.base.errors import ConfigError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield another path to write to. It becomes `path` when everything is written.

    Raises
    ------
    ConfigError
        If the place cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.new")
    try:
        yield unfinished
        os.replace(unfinished, path)  # noqa: PTH105
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise ConfigError.of(
            str(path), "file", None, f"cannot be written ({error.strerror})",
            "choose another place",
        ) from None  # fmt: skip
