"""A process whose files cannot grow, as on a disk that is nearly full."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable


def in_little_room(write: Callable[[], None], room: int) -> str:
    """Return what is raised in a process whose files can have `room` bytes; empty for nothing."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = ""
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
            write()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said
