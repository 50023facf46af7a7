"""The command line's entry: errors become one message and an exit status, never a traceback."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Final, NoReturn

from mmusim.base import signals

INTERRUPTED: Final = 130
"""Exit status after Ctrl-C, as shells have it: 128 and the number of the signal. Typer makes it of
every interruption.
"""


def main() -> None:
    """Run the command line and exit: 0 success, 1 a check failed, 2 the input was wrong.

    After a signal, 128 and its number: 130 after Ctrl-C, 143 after `kill`.
    """
    with signals.interrupting():
        _explained()


def _explained() -> None:
    try:
        from mmusim.base.machine_errors import explain, prepare_for_a_limit

        prepare_for_a_limit()
        _run()
    except KeyboardInterrupt:  # before Typer handles it, while modules are imported
        _interrupted()
    except Exception as error:
        if signals.came():  # a library may make another error of an interruption
            _interrupted()
        if isinstance(error, (MemoryError, OSError, ImportError)):  # also of importing mmusim
            _refused(explain(error))
        raise


def _interrupted(message: str = "interrupted") -> NoReturn:
    """End with the status of the signal.

    CPython remembers a KeyboardInterrupt that left code given as text (`exec`, of which named
    tuples are made) and would end by SIGINT whatever the status is. New code makes it forget.
    """
    exec("")
    _refused(message, signals.status())


def _run() -> None:
    from mmusim.base.errors import InterruptedRunError, InvariantError, MmusimError
    from mmusim.cli import app

    notices = logging.StreamHandler()  # to stderr, so that JSON on stdout stays whole
    notices.setFormatter(logging.Formatter("mmusim: notice: %(message)s"))
    log = logging.getLogger("mmusim")
    log.addHandler(notices)
    try:
        try:
            app(prog_name="mmusim")  # completion completes this name, also for python -m mmusim
        finally:
            log.removeHandler(notices)
            _flush()
    except SystemExit as end:  # Typer makes it of Ctrl-C, without a word
        if end.code == INTERRUPTED:
            _interrupted()
        raise
    except InterruptedRunError as error:
        _interrupted(str(error))
    except InvariantError as error:
        _refused(str(error), 1)
    except MmusimError as error:
        _refused(str(error))


def _flush() -> None:
    """Flush standard output, while an error of it can still be reported."""
    if sys.stdout is None:  # it was closed before the start
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the pipe has closed it
        sys.stdout = None
    except OSError:
        sys.stdout = None  # Python would try once more, and complain
        raise


def _refused(message: str, status: int = 2) -> NoReturn:
    with suppress(OSError):  # where nothing can be written, the exit status is all that is left
        for line in message.splitlines():
            print(f"mmusim: {line}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
