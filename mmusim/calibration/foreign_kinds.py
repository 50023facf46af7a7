"""The measurements in files of each foreign kind.

* **CSV** of samples or of a histogram: :mod:`mmusim.calibration.foreign_csv`.
* **Histograms** of bpftrace, bcc and perf ftrace: :mod:`mmusim.calibration.foreign_histograms`.
* **perf trace**: lines with ``( 0.012 ms): comm/tid call(...)`` or ``duration: 12.3 ms``.
* **ftrace** and ``perf kvm stat``: :mod:`mmusim.calibration.exit_times`.

Other known outputs are recognised, and refused with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from mmusim.base.inputs import unreadable
from mmusim.base.recordings import HISTOGRAMS, PERF_TRACE, recording_of
from mmusim.base.units import NS
from mmusim.calibration.exit_times import OF_EXITS, exits_of
from mmusim.calibration.foreign_csv import table_of
from mmusim.calibration.foreign_histograms import histograms_of
from mmusim.calibration.foreign_series import Series, samples

_NUMBER: Final = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_PERF = re.compile(
    rf"\(\s*{_NUMBER}\s*(ns|us|ms|s)\s*\)\s*:|duration:?\s*{_NUMBER}\s*(ns|us|ms|s)\b"
)
_CALL = re.compile(
    r"\):\s*(?P<task>\S.*?/\d+)\s+(?P<more>\.\.\. \[continued\]: )?(?P<call>\w+)\((?P<rest>.*)"
)
_COMMAND = re.compile(r"\bcmd:\s*(\w+)")
_FIRST_OF_CSV = re.compile(r"[,;\t]|^[\w.+()%µμ\"\[\]/ -]+$")


def series_of(text: str, source: str) -> list[Series]:
    """Return everything that a file measures; `source` names it in messages.

    Raises
    ------
    ConfigError
        If it is of no known kind, or has a value that is not a number.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    known = recording_of(text)
    if known in OF_EXITS:
        return exits_of(text, source)
    if known is not None and known not in (*HISTOGRAMS, PERF_TRACE):
        raise unreadable(source, f"is the output of {known.what}", known.remedy)
    found = histograms_of(lines, source)
    if found:
        return found
    if any(_PERF.search(line) for line in lines):
        return _perf(lines)
    if lines and lines[0].lstrip().startswith(("{", "[")) and not re.match(r"\[\w+\]$", lines[0]):
        raise unreadable(
            source, "is JSON of no known kind", "write the times as a column of a CSV file, with "
            "their unit in its name, e.g. latency_us",
        )  # fmt: skip
    if lines and _FIRST_OF_CSV.search(lines[0]):
        return table_of(text, source)
    raise unreadable(
        source, "is neither CSV nor a histogram of bpftrace, bcc or perf ftrace, nor perf trace, "
        "ftrace or perf kvm stat",
        "give a column of times, columns low, high, count, or what one of these tools prints",
    )  # fmt: skip


def _perf(lines: Sequence[str]) -> list[Series]:
    """Return the durations of each system call; ioctls apart by their command.

    A call that another task interrupts in the output is ended by a line with ``[continued]``, which
    has the duration and not the command.
    """
    times: dict[str, list[float]] = {}
    begun: dict[tuple[str, str], str] = {}
    for line in lines:
        call, event = _CALL.search(line), ""
        if call:
            command = _COMMAND.search(call["rest"])
            event = command[1] if command else call["call"]
            if call["more"]:
                event = begun.pop((call["task"], call["call"]), event)
        found = _PERF.search(line)
        if found:
            value, unit = (found[1], found[2]) if found[1] else (found[3], found[4])
            times.setdefault(event, []).append(float(value) * NS[unit])
        elif call:
            begun[call["task"], call["call"]] = event
    return [Series(name, "ns", samples(those)) for name, those in times.items()]
