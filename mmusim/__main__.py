"""The command line's entry: errors become one message and an exit status, never a traceback."""

from __future__ import annotations

import logging
import sys


def main() -> None:
    """Run the command line and exit: 0 success, 1 a check failed, 2 the input was wrong."""
    from mmusim.base.errors import InvariantError, MmusimError
    from mmusim.cli import app

    notices = logging.StreamHandler()  # to stderr, so that JSON on stdout stays whole
    notices.setFormatter(logging.Formatter("mmusim: notice: %(message)s"))
    logging.getLogger("mmusim").addHandler(notices)
    try:
        app()
    except InvariantError as error:
        print(f"mmusim: {error}", file=sys.stderr)
        sys.exit(1)
    except MmusimError as error:
        for line in str(error).splitlines():
            print(f"mmusim: {line}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
