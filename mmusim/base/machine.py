"""Errors of the machine (memory, disk, descriptors, libraries) as one line with a remedy."""

from __future__ import annotations

import errno
import os
import traceback
from typing import Final

from mmusim.base.errors import named

MACHINE_ERRORS: Final = (MemoryError, OSError, ImportError)
"""Errors that the machine causes: no memory, no disk, a missing or damaged library."""

_FULL: Final = "free space, or write to another place"
_DESCRIPTORS: Final = "allow more file descriptors, e.g. `ulimit -n 1024`, and run again"
_REMEDIES: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EMFILE: _DESCRIPTORS,
    errno.ENFILE: _DESCRIPTORS,
    errno.ENOMEM: "free memory, or use fewer --workers",
    errno.EAGAIN: "allow more processes, e.g. `ulimit -u`, or use fewer --workers",
    errno.EACCES: "check the permissions",
    errno.EROFS: "write to another place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "name what the link should lead to",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "name a file in it",
}


def explain(error: BaseException) -> str:
    """Return one line about one of :data:`MACHINE_ERRORS`: what happened, and what helps."""
    if isinstance(error, MemoryError):
        return f"there is not enough memory; {_REMEDIES[errno.ENOMEM]}"
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        at = f": {named(error.filename)}" if error.filename else ""
        return f"{error.strerror}{at}; {_REMEDIES[error.errno]}"
    text = " ".join(str(error).split())
    if os.strerror(errno.EMFILE) in text:  # of an import that failed, only the text is left
        return f"{text}; {_DESCRIPTORS}"
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" (line {place[0].lineno} of {place[0].filename})" if place else ""
    return f"{type(error).__name__}: {text}{where}; check this machine and its Python packages"
