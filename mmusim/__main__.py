"""The command line's entry: errors become one message and an exit status, never a traceback."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress


def main() -> None:
    """Run the command line and exit: 0 success, 1 a check failed, 2 the input was wrong."""
    try:
        _run()
    except (MemoryError, OSError, ImportError) as error:  # also of an import of mmusim itself
        from mmusim.base.machine import explain

        _refused(explain(error))


def _run() -> None:
    from mmusim.base.errors import InvariantError, MmusimError
    from mmusim.cli import app

    notices = logging.StreamHandler()  # to stderr, so that JSON on stdout stays whole
    notices.setFormatter(logging.Formatter("mmusim: notice: %(message)s"))
    log = logging.getLogger("mmusim")
    log.addHandler(notices)
    try:
        try:
            app()
        finally:
            log.removeHandler(notices)
            _flush()
    except InvariantError as error:
        print(f"mmusim: {error}", file=sys.stderr)
        sys.exit(1)
    except MmusimError as error:
        _refused(str(error))


def _flush() -> None:
    """Flush standard output, while an error of it can still be reported."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has seen enough
        sys.stdout = None
    except OSError:
        sys.stdout = None  # Python would try once more, and complain
        raise


def _refused(message: str) -> None:
    with suppress(OSError):  # where nothing can be written, the exit status is all that is left
        for line in message.splitlines():
            print(f"mmusim: {line}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
