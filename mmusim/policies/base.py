"""A dirty-logging policy: choices on the axes, and pure decisions about one spte."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from mmusim.base.entry_points import failures, load_group
from mmusim.base.errors import ConfigError, nearest
from mmusim.base.packages import register, summary_of
from mmusim.base.patience import asked
from mmusim.mmu.spte import Edit, Level, Spte
from mmusim.policies.axes import AXES, Axis, Mmu
from mmusim.policies.kernel import GetWalk, Kernel, kernel_named

_HOOKS: Final = ("protect", "blocked", "fast_path")
"""The decisions about sptes."""


class Policy:
    """The decisions about one spte at protect time and fault time, and the choices that go with
    them.

    A policy never waits, draws no random number and never sees the clock. It is a pure function of
    the entry, so a small table holds its whole behaviour (:func:`tabulate`). Subclass with
    ``name="kebab-case"`` to register a policy; a configuration cannot name a subclass without a
    name. A policy that leaves an axis open gets the value of the experiment or of the kernel, with
    its decisions.
    """

    name: ClassVar[str] = ""
    commits: ClassVar[tuple[str, ...]] = ()
    """Commits and releases of the kernel that do this."""
    choices: ClassVar[Mapping[str, Axis]] = {}
    """The axes that the policy decides, by name."""
    kernel: ClassVar[Kernel | None] = None
    """The release that the policy stands for, if it is one."""
    tracks: ClassVar[bool] = True
    """False: dirty logging is never enabled. This is the baseline of every jitter metric."""
    mmus: ClassVar[tuple[Mmu, ...]] = ()
    """The MMUs that the policy is for, the usual one first, where it leaves the axis open."""
    beyond_mainline: ClassVar[bool] = False
    """Proposed and never merged: the rules of mainline about large sptes do not bind it."""
    get_walk: ClassVar[GetWalk | None] = None
    """Which sptes a get re-arms, if this differs from the kernel."""
    zaps_all_at_enable: ClassVar[bool] = False
    """Enabling zaps every table of the VM instead of arming them."""
    protects_tables: ClassVar[bool] = False
    """The bug that e49146dce8c3 fixed: the walk of a get clears W of entries that are tables."""
    protects_root: ClassVar[bool] = False
    """Arming clears W in the top entries only. Faults push it down."""
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
        for hook in _HOOKS:
            if not callable(getattr(cls, hook)):
                raise TypeError(f"{hook} of policy {cls.name!r} is no method")
        if not name:
            return
        if name.startswith("linux-"):
            raise TypeError(f"policy name {name!r} begins like a kernel's; choose another")
        register("policy", Policy._registry, name, cls)

    @classmethod
    def summary(cls) -> str:
        """Return the first paragraph of the class docstring."""
        return summary_of(cls)

    def protect(self, spte: Spte) -> Edit:
        """Decide how arming the log changes a present leaf. Every policy must say so.

        Raises
        ------
        NotImplementedError
            If the policy does not.
        """
        raise NotImplementedError(f"policy {self.name!r} does not say what protect time does")

    def blocked(self, spte: Spte) -> Edit:
        """Decide how a fault changes a large leaf that blocks a small one."""
        del spte
        return Edit.ZAP

    def fast_path(self, spte: Spte, tracked: bool) -> bool:
        """Decide whether a write fault on a read-only leaf may be fixed without mmu_lock.

        The default is ``fast_page_fault`` as of Linux 3.16 (c126d94f2c90). It fixes any leaf of
        which the MMU itself has no reason to forbid writes, but no large leaf of a slot that logs,
        where one bit of the log cannot stand for 512 pages.
        """
        return spte.mmu_writable and (spte.level == Level.SMALL or not tracked)


GROUP: Final = "mmusim.policies"
"""The group of entry points through which other packages add policies."""
RENAMED: Final = {
    "eager-split": "eager_page_split", "eager-split-legacy": "eager_page_split-legacy",
    "init-all-set": "initially-all-set",
}  # fmt: skip
"""Old names of policies, until version 0.1."""


def decides(policy: Policy) -> bool:
    """Tell whether the policy has decisions of its own about sptes."""
    return type(policy).protect is not Policy.protect


def policies() -> dict[str, type[Policy]]:
    """Return every registered policy by name."""
    return dict(sorted(Policy._registry.items()))


def load_outside() -> None:
    """Load the policies of other packages."""
    load_group(GROUP, Policy, Policy._registry)


def policy_named(name: str) -> Policy:
    """Return the policy with this name: ``linux-6.1``, ``eager_page_split+pml``.

    A name with plus signs combines policies that decide different axes.

    Raises
    ------
    ConfigError
        If there is no such policy; the message names the nearest known name. Also if two parts
        contradict each other.
    """
    parts = [_part(part) for part in name.split("+")]
    return parts[0] if len(parts) == 1 else combined(name, parts)


def _part(name: str) -> Policy:
    if name in Policy._registry:
        return _instance(Policy._registry[name])
    if name.startswith("linux-"):
        return preset(kernel_named(name))
    if name in RENAMED:
        rule = f"is called {RENAMED[name]} now (the kernel's own name)"
        raise ConfigError.of("policies", "name", name, rule, f"write {RENAMED[name]}")
    remedy = nearest(name, Policy._registry)
    left_out = failures(GROUP)
    if left_out:
        remedy += f". Left out: {'. '.join(left_out)}"
    raise ConfigError.of("policies", "name", name, "is not a policy", remedy)


def _instance(cls: type[Policy]) -> Policy:
    if cls.__init__ is Policy.__init__:
        return cls()
    return asked(
        "policies", cls.name, cls.__init__, cls,
        "let its __init__ take no arguments and raise nothing, or leave it out",
    )  # fmt: skip


def preset(kernel: Kernel) -> Policy:
    """Return the policy of a release: the defaults of that kernel."""
    text = f"What {kernel.name} does by default; the last changes: {kernel.latest()}."
    body = {"kernel": kernel, "__doc__": text, "commits": (kernel.name,)}
    return _made(kernel.name, body)


def combined(name: str, parts: list[Policy], kernel: Kernel | None = None) -> Policy:
    """Return one policy that combines `parts`; `kernel` is the release where that is decided.

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
            body |= {hook: getattr(type(part), hook) for hook in _HOOKS}
    releases = {part.kernel for part in parts if part.kernel is not None}
    if releases and kernel is not None:
        body["kernel"] = kernel
    elif len(releases) > 1:
        raise ConfigError.of("policies", "name", name, "names two kernels", "leave one out")
    return _made(name, body)


_FACTS = (
    "kernel", "tracks", "beyond_mainline", "get_walk", "zaps_all_at_enable", "protects_tables",
    "protects_root", "mmus",
)  # fmt: skip


def _made(name: str, body: dict[str, Any]) -> Policy:
    made: Policy = type("Made", (Policy,), body)()
    type(made).name = name
    return made
