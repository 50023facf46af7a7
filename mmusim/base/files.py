"""Files are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mmusim.base.errors import ConfigError
from mmusim.base.machine_errors import FULL, reason

LEAST_ROOM: Final = 64 << 10
"""Bytes that :func:`check_place` writes: less than any figure or page takes."""


class _TriedError(Exception):
    """A place was tried and holds what is written."""


def check_place(path: Path, room: int = LEAST_ROOM) -> None:
    """Refuse a place that cannot be written, before long work is done for it.

    `room` bytes are written beside it and taken away again. What stands at `path` stays as it is.

    Raises
    ------
    ConfigError
        As :func:`whole` does.
    """
    with suppress(_TriedError), whole(path) as unfinished:
        unfinished.write_bytes(bytes(room))
        raise _TriedError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield another path to write to. It becomes `path` when everything is written.

    The other path is a new file in the same folder, so no existing link is followed; a link at
    `path` itself is replaced. After an error no file is left behind.

    Raises
    ------
    ConfigError
        If the place cannot be written, or is a folder, a device or a pipe.
    """
    unfinished = None
    if path.exists() and not path.is_file():
        raise ConfigError.of(
            str(path), "file", None, "is not a regular file and would be replaced by one",
            "name a new file, or one to replace",
        )  # fmt: skip
    try:
        number, name = tempfile.mkstemp(
            prefix=f".{path.name[:99]}.", suffix=".new", dir=path.parent
        )
        os.close(number)
        unfinished = Path(name)
        unfinished.chmod(0o666 & ~_umask())
        yield unfinished
        os.replace(unfinished, path)  # noqa: PTH105
    except OSError as error:
        raise ConfigError.of(
            str(path), "file", None, f"cannot be written ({reason(error)})",
            "free space, or choose another place" if error.errno in FULL
            else "choose another place",
        ) from None  # fmt: skip
    finally:
        if unfinished is not None:
            unfinished.unlink(missing_ok=True)


def _umask() -> int:
    """Return the rights that new files of this process do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
