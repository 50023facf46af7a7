"""What a dirty-logging policy is: pure decisions about one spte."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

from mmusim.errors import ConfigError, nearest
from mmusim.mmu.spte import ACCESS, Edit, Level, Spte


class Policy:
    """What protect time and fault time do to one spte.

    A policy never waits, never draws a random number and never sees the clock: it is a pure
    function of the entry it is shown, so its whole behaviour is a small table
    (:func:`tabulate`). Subclass with ``name="kebab-case"`` to register it; subclasses without a
    name can be simulated but not named in a configuration.
    """

    name: ClassVar[str] = ""
    commits: ClassVar[tuple[str, ...]] = ()
    """Where the kernel does it: commit ids and releases."""
    tracks: ClassVar[bool] = True
    """False: dirty logging is never switched on; the baseline of every jitter metric."""
    mmu: ClassVar[tuple[str, ...]] = ("legacy",)
    """MMU kinds under which the policy exists."""
    _registry: ClassVar[dict[str, type[Policy]]] = {}

    def __init_subclass__(cls, *, name: str = "", **kwargs: object) -> None:
        """Register the class under `name`.

        Raises
        ------
        TypeError
            If another class has the name.
        """
        super().__init_subclass__(**kwargs)
        cls.name = name or cls.__name__
        if not name:
            return
        if name in Policy._registry:
            taken = Policy._registry[name]
            raise TypeError(
                f"policy name {name!r} is taken by {taken.__module__}.{taken.__qualname__}"
            )
        Policy._registry[name] = cls

    @classmethod
    def summary(cls) -> str:
        """Return the first paragraph of the class docstring."""
        return inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].replace("\n", " ")

    def protect(self, spte: Spte) -> Edit:
        """Decide what arming the log does to a present leaf."""
        raise NotImplementedError(f"policy {self.name!r} does not say what protect time does")

    def fast_path(self, spte: Spte, tracked: bool) -> bool:
        """Decide whether a write fault on a read-only leaf may be fixed without mmu_lock.

        The default is ``fast_page_fault`` as of Linux 3.6 (c7ba5b48cc8d): any leaf of which the
        MMU itself has no reason to forbid writes.
        """
        del tracked
        return spte.mmu_writable


def policies() -> dict[str, type[Policy]]:
    """Return every registered policy by name."""
    return dict(sorted(Policy._registry.items()))


def policy_named(name: str) -> Policy:
    """Return an instance of the policy called `name`.

    Raises
    ------
    ConfigError
        If there is none; with the nearest known name.
    """
    if name not in Policy._registry:
        raise ConfigError.of(
            "policies", "name", name, "is not a policy", nearest(name, Policy._registry)
        )
    return Policy._registry[name]()


class Tables(NamedTuple):
    """A policy, asked about every leaf there can be; what engines read.

    The first index is ``level - 1``, the second the bits P, W and mmu_writable of the leaf.
    """

    protect_large: int  # Edit for a present large leaf
    fast_path: tuple[tuple[tuple[bool, ...], ...], ...]  # [tracked][level - 1][bits]


def every_leaf(level: Level) -> Iterator[Spte]:
    """All states of a leaf at a level, in the order of their bits."""
    return (Spte.from_bits(level, bits) for bits in range(ACCESS + 1))


def tabulate(policy: Policy) -> Tables:
    """Ask the policy about every leaf.

    Raises
    ------
    ConfigError
        If it treats small leaves otherwise than by clearing W, or large ones unequally, which no
        engine supports.
    """

    def fast(spte: Spte, tracked: bool) -> bool:
        read_only = spte.present and not spte.writable
        return read_only and policy.fast_path(spte, tracked)

    present = [leaf for leaf in every_leaf(Level.LARGE) if leaf.present]
    if policy.tracks:
        _check_protect(policy, present)
    protect = policy.protect(present[0]) if policy.tracks else Edit.KEEP
    return Tables(
        int(protect),
        tuple(
            tuple(tuple(fast(spte, tracked) for spte in every_leaf(level)) for level in Level)
            for tracked in (False, True)
        ),
    )


def _check_protect(policy: Policy, large: list[Spte]) -> None:
    small = [leaf for leaf in every_leaf(Level.SMALL) if leaf.present and leaf.writable]
    answers = {policy.protect(leaf) for leaf in small}
    key = f"policies.{policy.name}"
    if answers != {Edit.WRITE_PROTECT}:
        raise ConfigError.of(
            key, "protect", sorted(map(repr, answers)),
            "must clear W on every writable small leaf, or its writes are not logged",
            "return Edit.WRITE_PROTECT for Level.SMALL",
        )  # fmt: skip
    by_leaf = {leaf: policy.protect(leaf) for leaf in large}
    if len(set(by_leaf.values())) > 1 or Edit.KEEP in by_leaf.values():
        raise ConfigError.of(
            key, "protect", {str(leaf): repr(edit) for leaf, edit in by_leaf.items()},
            "must treat all large leaves alike and keep none",
            "return WRITE_PROTECT or ZAP for every large leaf",
        )  # fmt: skip
