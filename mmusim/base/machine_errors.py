"""Errors of the machine (memory, disk, descriptors, libraries) as one line with a remedy."""

from __future__ import annotations

import errno
import os
import resource
import traceback
from typing import Final

from mmusim.base.errors import named

MACHINE_ERRORS: Final = (MemoryError, OSError, ImportError)
"""Errors that the machine causes: no memory, no disk, a missing or damaged library."""

FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors that say that a file has no room."""
_FREE: Final = "free space, or write to another place"
_DESCRIPTORS: Final = "allow more file descriptors, e.g. `ulimit -n 1024`, and run again"
_REMEDIES: Final = {
    **dict.fromkeys(FULL, _FREE),
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


_LEAST_BYTES: Final = 240 << 20
"""Address space that Python and the numerical libraries take before anything is computed."""


def prepare_for_a_limit() -> None:
    """See that numerical libraries can be loaded where `ulimit -v` or `-d` bounds the memory.

    OpenBLAS reserves some 40 MiB for each thread, and without them tries for ever. Where memory
    is bounded it gets one thread, unless the user has chosen a number.

    Raises
    ------
    MemoryError
        If what is left is too little. Says so, with the limit.
    """
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    finite = [limit for limit in limits if limit != resource.RLIM_INFINITY]
    if not finite:
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if min(finite) < _LEAST_BYTES:
        raise MemoryError(
            f"the limit of memory is {min(finite) >> 10:,} kB, and numerical libraries need "
            f"{_LEAST_BYTES >> 10:,} kB; raise it, e.g. `ulimit -v 2000000`, or remove it with "
            "`ulimit -v unlimited`"
        )


def reason(error: OSError) -> str:
    """Return what happened, in the words of the system: "No space left on device".

    Libraries such as pyarrow put their own text in the place of these words.
    """
    return os.strerror(error.errno) if error.errno else " ".join(str(error).split())


def explain(error: BaseException) -> str:
    """Return one line about one of :data:`MACHINE_ERRORS`: what happened, and what helps."""
    if isinstance(error, MemoryError):
        if str(error).startswith("the limit of memory"):
            return str(error)
        return f"there is not enough memory; {_REMEDIES[errno.ENOMEM]}"
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        at = f": {named(error.filename)}" if error.filename else ""
        return f"{reason(error)}{at}; {_REMEDIES[error.errno]}"
    text = " ".join(str(error).split())
    if os.strerror(errno.EMFILE) in text:  # of an import that failed, only the text is left
        return f"{text}; {_DESCRIPTORS}"
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" (line {place[0].lineno} of {place[0].filename})" if place else ""
    return f"{type(error).__name__}: {text}{where}; check this machine and its Python packages"
