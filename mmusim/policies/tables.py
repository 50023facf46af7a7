"""A policy as engines read it, tabulated over every leaf that can exist."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from mmusim.base.errors import ConfigError
from mmusim.base.packages import is_outside, source_of
from mmusim.base.patience import asked
from mmusim.mmu.spte import ACCESS, Edit, Level, Spte
from mmusim.policies.base import Policy


class Tables(NamedTuple):
    """The decisions of a policy about every leaf that can exist. Engines read them.

    The indices of `fast_path` are tracked, large, and the bits P, W and mmu_writable of the leaf. A
    1 GiB leaf counts as a large leaf.
    """

    protect_large: int  # Edit for a present large leaf when the log is armed
    blocked: int  # Edit for a large leaf that blocks a small one
    fast_path: tuple[tuple[tuple[bool, ...], ...], ...]


_answers: WeakKeyDictionary[type, dict[Any, Any]] = WeakKeyDictionary()


def every_leaf(level: Level) -> Iterator[Spte]:
    """All states of a leaf at a level, in the order of their bits."""
    return (Spte.from_bits(level, bits) for bits in range(ACCESS + 1))


def ask(policy: Policy, hook: str, *about: object) -> Any:
    """Return a policy's decision about a leaf.

    Raises
    ------
    ConfigError
        If the policy's code raises, returns something else, or does not return. The message names
        package, file and line.
    """
    function = getattr(type(policy), hook)
    key, expected = f"policies.{policy.name}", bool if hook == "fast_path" else Edit
    answer = asked(
        key,
        hook,
        function,
        lambda: _answer(policy, hook, about),
        "correct the policy, or leave it out",
    )
    if not isinstance(answer, expected):
        rule = f"returns no {expected.__name__}, of {source_of(function)}"
        raise ConfigError.of(
            key, hook, answer, rule,
            "return True or False" if expected is bool else "return e.g. Edit.WRITE_PROTECT",
        )  # fmt: skip
    return answer


def _answer(policy: Policy, hook: str, about: tuple[object, ...]) -> Any:
    """Call a decision. One of another package is asked once: it may be slow."""
    decide = getattr(policy, hook)
    if not is_outside(decide):
        return decide(*about)
    known = _answers.setdefault(type(policy), {})
    key = getattr(type(policy), hook), about
    if key not in known:
        known[key] = decide(*about)
    return known[key]


def tabulate(policy: Policy) -> Tables:
    """Tabulate the policy over every leaf.

    Raises
    ------
    ConfigError
        If the policy does not clear W of small leaves, or treats large leaves unequally. No engine
        supports that.
    """

    def fast(spte: Spte, tracked: bool) -> bool:
        read_only = spte.present and not spte.writable
        return read_only and bool(ask(policy, "fast_path", spte, tracked))

    present = [leaf for leaf in every_leaf(Level.LARGE) if leaf.present]
    if policy.tracks:
        _check_protect(policy, present)
    blocked = _alike(policy, "blocked", {leaf: ask(policy, "blocked", leaf) for leaf in present})
    if blocked not in (Edit.ZAP, Edit.SPLIT):
        raise ConfigError.of(
            f"policies.{policy.name}", "blocked", _named(blocked),
            "must make room for a small spte", "return Edit.ZAP or Edit.SPLIT",
        )  # fmt: skip
    protect = ask(policy, "protect", present[0]) if policy.tracks else Edit.KEEP
    return Tables(
        int(protect),
        int(blocked),
        tuple(
            tuple(tuple(fast(spte, tracked) for spte in every_leaf(level)) for level in Level)
            for tracked in (False, True)
        ),
    )


def _named(edit: Edit) -> str:
    """Write an edit as a policy's author writes it."""
    return f"Edit.{edit.name}"


def _check_protect(policy: Policy, large: list[Spte]) -> None:
    small = [leaf for leaf in every_leaf(Level.SMALL) if leaf.present and leaf.writable]
    answers = {ask(policy, "protect", leaf) for leaf in small}
    key = f"policies.{policy.name}"
    if answers != {Edit.WRITE_PROTECT}:
        raise ConfigError.of(
            key, "protect", ", ".join(sorted(map(_named, answers))),
            "must clear W on every writable small leaf, or its writes are not logged",
            "return Edit.WRITE_PROTECT for Level.SMALL",
        )  # fmt: skip
    by_leaf = {leaf: ask(policy, "protect", leaf) for leaf in large}
    if _alike(policy, "protect", by_leaf) is Edit.KEEP:
        raise _unequal(policy, "protect", by_leaf)


def _alike(policy: Policy, hook: str, by_leaf: dict[Spte, Edit]) -> Edit:
    if len(set(by_leaf.values())) > 1:
        raise _unequal(policy, hook, by_leaf)
    return next(iter(by_leaf.values()))


def _unequal(policy: Policy, hook: str, by_leaf: dict[Spte, Edit]) -> ConfigError:
    return ConfigError.of(
        f"policies.{policy.name}", hook,
        {str(leaf): _named(edit) for leaf, edit in by_leaf.items()},
        "must treat all large leaves alike and keep none",
        "return WRITE_PROTECT, ZAP or SPLIT for every large leaf",
    )  # fmt: skip
