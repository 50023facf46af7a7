"""What a dirty-logging policy is: choices on the axes, and pure decisions about one spte."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, NamedTuple

from mmusim.base.errors import ConfigError, nearest
from mmusim.mmu.spte import ACCESS, Edit, Level, Spte
from mmusim.policies.axes import AXES, Axis
from mmusim.policies.kernel import GetWalk, Kernel, kernel_named


class Policy:
    """What protect time and fault time do to one spte, and which choices go with it.

    A policy never waits, never draws a random number and never sees the clock: it is a pure
    function of the entry it is shown, so its whole behaviour is a small table
    (:func:`tabulate`). Subclass with ``name="kebab-case"`` to register it; subclasses without a
    name can be simulated but not named in a configuration. A policy that leaves an axis open gets
    what the experiment or the kernel says, and its decisions too.
    """

    name: ClassVar[str] = ""
    commits: ClassVar[tuple[str, ...]] = ()
    """Where the kernel does it: commit ids and releases."""
    choices: ClassVar[Mapping[str, Axis]] = {}
    """The axes that the policy decides, by name."""
    kernel: ClassVar[Kernel | None] = None
    """The release that the policy stands for, if it is one."""
    tracks: ClassVar[bool] = True
    """False: dirty logging is never switched on; the baseline of every jitter metric."""
    beyond_mainline: ClassVar[bool] = False
    """Proposed, never merged: the rules about large sptes in mainline do not bind it."""
    get_walk: ClassVar[GetWalk | None] = None
    """Which sptes a get re-arms, if not those that the kernel does."""
    zaps_all_at_enable: ClassVar[bool] = False
    """Switching logging on zaps every table of the VM in the place of arming them."""
    protects_tables: ClassVar[bool] = False
    """The bug that e49146dce8c3 fixed: the walk of a get clears W of entries that are tables."""
    protects_root: ClassVar[bool] = False
    """Arming clears W in the top entries only; faults push it down."""
    _registry: ClassVar[dict[str, type[Policy]]] = {}

    def __init_subclass__(
        cls, *, name: str = "", choices: tuple[Axis, ...] = (), **kwargs: object
    ) -> None:
        """Register the class under `name` with its choices.

        Raises
        ------
        TypeError
            If another class has the name.
        """
        super().__init_subclass__(**kwargs)
        cls.name = name or cls.__name__
        if choices:
            cls.choices = {
                axis: value
                for axis, kind in AXES.items()
                for value in choices
                if isinstance(value, kind)
            }
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

    def blocked(self, spte: Spte) -> Edit:
        """Decide what a fault does to a large leaf that is in the way of a small one."""
        del spte
        return Edit.ZAP

    def fast_path(self, spte: Spte, tracked: bool) -> bool:
        """Decide whether a write fault on a read-only leaf may be fixed without mmu_lock.

        The default is ``fast_page_fault`` as of Linux 3.6 (c7ba5b48cc8d): any leaf of which the
        MMU itself has no reason to forbid writes.
        """
        del tracked
        return spte.mmu_writable


RENAMED: Final = {
    "eager-split": "eager_page_split", "eager-split-legacy": "eager_page_split-legacy",
    "init-all-set": "initially-all-set",
}  # fmt: skip
"""Policies by the names that they had until version 0.1."""


def decides(policy: Policy) -> bool:
    """Tell whether the policy has decisions of its own about sptes."""
    return type(policy).protect is not Policy.protect


def policies() -> dict[str, type[Policy]]:
    """Return every registered policy by name."""
    return dict(sorted(Policy._registry.items()))


def policy_named(name: str) -> Policy:
    """Return the policy called `name`: ``linux-6.1``, ``eager_page_split+pml``.

    A name with plus signs combines policies, of which each decides other axes.

    Raises
    ------
    ConfigError
        If there is none, with the nearest known name; or if two parts contradict each other.
    """
    parts = [_part(part) for part in name.split("+")]
    return parts[0] if len(parts) == 1 else combined(name, parts)


def _part(name: str) -> Policy:
    if name in Policy._registry:
        return Policy._registry[name]()
    if name.startswith("linux-"):
        return preset(kernel_named(name))
    if name in RENAMED:
        rule = f"is called {RENAMED[name]} now (the kernel's own name)"
        raise ConfigError.of("policies", "name", name, rule, f"write {RENAMED[name]}")
    raise ConfigError.of(
        "policies", "name", name, "is not a policy", nearest(name, Policy._registry)
    )


def preset(kernel: Kernel) -> Policy:
    """Return the policy of a release: whatever that kernel does by default."""
    text = f"What {kernel.name} does by default; the last changes: {kernel.latest()}."
    body = {"kernel": kernel, "__doc__": text, "commits": (kernel.name,)}
    return _made(kernel.name, body)


def combined(name: str, parts: list[Policy]) -> Policy:
    """Return one policy that is all of `parts`.

    Raises
    ------
    ConfigError
        If two parts decide the same axis, or both have decisions about sptes.
    """
    body: dict[str, Any] = {"choices": {}, "__doc__": " ".join(p.summary() for p in parts)}
    body["commits"] = tuple(commit for part in parts for commit in part.commits)
    for part in parts:
        for axis, value in part.choices.items():
            other = body["choices"].setdefault(axis, value)
            if other is not value:
                raise ConfigError.of(
                    "policies", "name", name,
                    f"decides {axis} twice, {other.value} and {value.value}", "leave one part out",
                )  # fmt: skip
        for fact in _FACTS:
            own = getattr(part, fact)
            if own != getattr(Policy, fact):
                body[fact] = own
        if decides(part):
            if "protect" in body:
                raise ConfigError.of(
                    "policies", "name", name, "has two parts with decisions about sptes",
                    "leave one part out",
                )  # fmt: skip
            body |= {
                hook: getattr(type(part), hook) for hook in ("protect", "blocked", "fast_path")
            }
    if len({part.kernel for part in parts if part.kernel is not None}) > 1:
        raise ConfigError.of("policies", "name", name, "names two kernels", "leave one out")
    return _made(name, body)


_FACTS = (
    "kernel", "tracks", "beyond_mainline", "get_walk", "zaps_all_at_enable", "protects_tables",
    "protects_root",
)  # fmt: skip


def _made(name: str, body: dict[str, Any]) -> Policy:
    made: Policy = type("Made", (Policy,), body)()
    type(made).name = name
    return made


class Tables(NamedTuple):
    """A policy, asked about every leaf there can be; what engines read.

    The indices of `fast_path` are tracked, large, and the bits P, W and mmu_writable of the leaf.
    A 1 GiB leaf is asked about as any large one.
    """

    protect_large: int  # Edit for a present large leaf when the log is armed
    blocked: int  # Edit for a large leaf in the way of a small one
    fast_path: tuple[tuple[tuple[bool, ...], ...], ...]


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
    blocked = _alike(policy, "blocked", {leaf: policy.blocked(leaf) for leaf in present})
    if blocked not in (Edit.ZAP, Edit.SPLIT):
        raise ConfigError.of(
            f"policies.{policy.name}", "blocked", repr(blocked), "must make room for a small spte",
            "return Edit.ZAP or Edit.SPLIT",
        )  # fmt: skip
    protect = policy.protect(present[0]) if policy.tracks else Edit.KEEP
    return Tables(
        int(protect),
        int(blocked),
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
    if _alike(policy, "protect", by_leaf) is Edit.KEEP:
        raise _unequal(policy, "protect", by_leaf)


def _alike(policy: Policy, hook: str, by_leaf: dict[Spte, Edit]) -> Edit:
    if len(set(by_leaf.values())) > 1:
        raise _unequal(policy, hook, by_leaf)
    return next(iter(by_leaf.values()))


def _unequal(policy: Policy, hook: str, by_leaf: dict[Spte, Edit]) -> ConfigError:
    return ConfigError.of(
        f"policies.{policy.name}", hook, {str(leaf): repr(edit) for leaf, edit in by_leaf.items()},
        "must treat all large leaves alike and keep none",
        "return WRITE_PROTECT, ZAP or SPLIT for every large leaf",
    )  # fmt: skip
