"""Every exception that mmusim raises on purpose, and the wording of a complaint about a file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final


class MmusimError(Exception):
    """Base of all mmusim errors."""


class InvariantError(MmusimError):
    """The model or a policy broke a rule of the kernel. A configuration never causes it."""


class LostWriteError(InvariantError):
    """The guest wrote a page that the dirty log does not know: the destination is corrupt."""


class LivelockError(InvariantError):
    """A vCPU faults on the same access again and again without progress."""


class DeadlockError(InvariantError):
    """No event is left, and some process has not finished."""


class WindowError(MmusimError):
    """A window that is to be measured does not begin or end in a run."""


class EngineError(InvariantError):
    """The compiled engine is wrong: something happened to a vCPU where it cannot."""


class ClockError(MmusimError):
    """A run's simulated time does not fit into its clock."""


class WeaveError(MmusimError):
    """A process is written with what the weaver does not support; names file and line."""


class InterruptedRunError(MmusimError):
    """The user pressed Ctrl-C."""


MOST_SHOWN: Final = 50
"""Complaints about one input that a message shows."""
_LONGEST: Final = 200  # characters of a value in a message
_LONGEST_NAME: Final = 1_000  # a path is wanted whole, to copy it


def shortened(value: object) -> str:
    """Return the value as Python writes it, without the middle of a long one."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, lists within lists
        return f"a {type(value).__name__}"
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]}...{text[-half:]} ({len(text):,} characters)"


def named(source: object) -> str:
    """Return a name that is not ours, of a file or a key, for one line: without control
    characters, and not too long.
    """
    text = str(source)
    if not text.isprintable():
        text = text.encode("unicode_escape", "surrogatepass").decode("ascii")
    if len(text) > _LONGEST_NAME:
        half = _LONGEST_NAME // 2
        text = f"{text[:half]}...{text[-half:]}"
    return text


@dataclass(frozen=True, slots=True)
class Complaint:
    """One error of an input: the place, the value, the rule that it breaks, and the remedy."""

    source: str
    key: str
    value: object
    rule: str
    remedy: str

    def __str__(self) -> str:
        given = "" if self.value is None else f" = {shortened(self.value)}"
        at = f"{named(self.source)}: {named(self.key)}" if self.key else named(self.source)
        return f"{at}{given}: {self.rule}; {self.remedy}"


class ConfigError(MmusimError, ValueError):
    """An input cannot be used. Carries every complaint about it, not only the first.

    The message shows the first `MOST_SHOWN` of them.
    """

    def __init__(self, complaints: Sequence[Complaint]) -> None:
        self.complaints = tuple(complaints)
        super().__init__(self.complaints)  # SimPy makes the exception of a process again from these

    def __str__(self) -> str:
        """Return a line for each complaint."""
        shown = list(map(str, self.complaints[:MOST_SHOWN]))
        if len(self.complaints) > MOST_SHOWN:
            shown.append(f"and {len(self.complaints) - MOST_SHOWN:,} complaints more")
        return "\n".join(shown)

    def __reduce__(self) -> tuple[type[ConfigError], tuple[Sequence[Complaint]]]:
        """Let the error be sent to another process with all its complaints."""
        return type(self), (self.complaints,)

    @classmethod
    def of(cls, source: str, key: str, value: object, rule: str, remedy: str) -> ConfigError:
        """Build the error for a single complaint."""
        return cls([Complaint(source, key, value, rule, remedy)])


class MisfitError(ValueError):
    """Two keys of an input do not fit together; `key` is the one to blame. For validators."""

    def __init__(self, key: str, value: object, rule: str, remedy: str) -> None:
        """Blame `key`, written as in the file."""
        super().__init__(f"{rule}; {remedy}")
        self.key, self.value = key, value

    def under(self, condition: str) -> MisfitError:
        """Return the same misfit, qualified by a condition."""
        rule, _, remedy = str(self).partition("; ")
        return MisfitError(self.key, self.value, f"{rule} ({condition})", remedy)

    def complaint(self, source: str) -> ConfigError:
        """Return the error for users, about `source`."""
        rule, _, remedy = str(self).partition("; ")
        return ConfigError.of(source, self.key, self.value, rule, remedy)


class MisfitsError(ValueError):
    """Several misfits of one input, for validators that find all of them."""

    def __init__(self, misfits: Sequence[MisfitError]) -> None:
        """Store the misfits."""
        super().__init__("\n".join(map(str, misfits)))
        self.misfits = tuple(misfits)

    @classmethod
    def raise_any(cls, misfits: Iterable[MisfitError]) -> None:
        """Raise if there is one.

        Raises
        ------
        MisfitsError
            With all of them.
        """
        found = list(misfits)
        if found:
            raise cls(found)


def require_known(name: str, known: Iterable[str], source: str, key: str, rule: str) -> None:
    """Refuse a name that is not among the known ones; `source` gives it for `key`.

    Raises
    ------
    ConfigError
        With `rule`, e.g. "is not a policy of this experiment", and the nearest known name.
    """
    known = list(known)
    if name not in known:
        raise ConfigError.of(source, key, name, rule, nearest(name, known))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the remedy for an unknown name: the nearest known name, or all of them."""
    known = sorted(known)
    if not known:
        return "none is defined; define one"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
