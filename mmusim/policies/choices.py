"""From a policy's name to a value on every axis, and which values go together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeVar, cast

from mmusim.base.errors import MisfitError
from mmusim.mmu.spte import Edit, Level, Spte
from mmusim.policies.axes import AXES, Axis, Choices, Large, Lock, Mmu, Reporting, Tracking
from mmusim.policies.base import Policy, combined, decides, policy_named
from mmusim.policies.kernel import (
    DEFAULT_KERNEL,
    LAST_TO_WALK_ALL,
    RELEASES,
    Kernel,
    kernel_named,
)
from mmusim.policies.tables import Tables, ask, tabulate

Value = TypeVar("Value", bound=Axis)

ASSUMED: Final = f"{DEFAULT_KERNEL} is the default, vm.kernel is not given"


class Rule(NamedTuple):
    """Something that cannot be, and why."""

    axis: str  # the one to blame
    value: object
    broken: Callable[[Choices, Kernel], bool]  # for choices that have the value
    why: str


def _since(
    axis: str, value: object, release: tuple[int, ...], why: str, mmu: Mmu | None = None
) -> Rule:
    def broken(c: Choices, kernel: Kernel) -> bool:
        return kernel.release < release and (mmu is None or c.mmu is mmu)

    return Rule(axis, value, broken, f"{why} (from {Kernel(release).name})")


def _under(axis: str, value: object, mmus: set[Mmu], why: str) -> Rule:
    return Rule(axis, value, lambda c, _: c.mmu in mmus, why)


_BITS_SET: Final = (Large.DEFERRED, Large.EAGER_SPLIT)


def _at_start(kernel: Kernel) -> tuple[Large, ...]:
    """Return what may become of large sptes where all bits of the log are set at the start."""
    return (Large.READ_ONLY, Large.EAGER_SPLIT) if kernel.all_set_protects_large() else _BITS_SET


RULES: Final = (
    _since("mmu", Mmu.TDP, (5, 10), "the TDP MMU came in 5.10"),
    _since("lock", Lock.RWLOCK, (5, 12), "mmu_lock became a rwlock in 5.12"),
    Rule(
        "lock", Lock.SPINLOCK, lambda _, kernel: kernel.release >= (5, 12),
        "mmu_lock is a rwlock since 5.12",
    ),
    _since("tracking", Tracking.PML, (4, 0), "PML came in 4.0"),
    _under(
        "tracking", Tracking.PML, {Mmu.SHADOW, Mmu.NESTED},
        "PML needs an EPT that the guest runs on; shadow pages are write-protected instead",
    ),
    _since(
        "reporting", Reporting.MANUAL_CLEAR, (5, 2),
        "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 came in 5.2",
    ),
    _since("reporting", Reporting.ALL_SET, (5, 7), "KVM_DIRTY_LOG_INITIALLY_SET came in 5.7"),
    _since("reporting", Reporting.DIRTY_RING, (5, 11), "the dirty ring came in 5.11"),
    _since("large", Large.EAGER_SPLIT, (5, 18), "eager page splitting came in 5.18", Mmu.TDP),
    _since("large", Large.EAGER_SPLIT, (6, 0), "nested MMUs split eagerly since 6.0", Mmu.NESTED),
    _under(
        "large", Large.EAGER_SPLIT, {Mmu.LEGACY, Mmu.SHADOW},
        "this MMU has no eager page splitting, the module parameter does nothing there",
    ),
    _under(
        "large", Large.SPLIT_ON_FAULT, set(Mmu) - {Mmu.TDP}, "only the TDP MMU splits in a fault"
    ),
    _since("large", Large.SPLIT_ON_FAULT, (6, 2), "splitting in the fault came in 6.2", Mmu.TDP),
    Rule(
        "large", Large.DEFERRED, lambda c, _: c.reporting is not Reporting.ALL_SET,
        "nothing would ever arm large sptes unless the bitmap starts with all bits set",
    ),
    Rule(
        "large", Large.DEFERRED, lambda _, kernel: kernel.all_set_protects_large(),
        "with all bits set, large sptes are read-only from the start before 5.14",
    ),
    Rule(
        "reporting", Reporting.ALL_SET,
        lambda c, kernel: c.large not in _at_start(kernel),
        "with all bits set nothing but large sptes is armed before the first clear, and those only "
        "before 5.14",
    ),
)  # fmt: skip
"""Combinations that mainline lacks. Behaviour that it once had may be combined with newer
things.
"""


def objections(c: Choices, kernel: Kernel, beyond_mainline: bool = False) -> Iterator[Rule]:
    """Yield the rules that the choices break in `kernel`."""
    for rule in RULES:
        waived = beyond_mainline and rule.axis == "large" and rule.value is not Large.DEFERRED
        if getattr(c, rule.axis) is rule.value and not waived and rule.broken(c, kernel):
            yield rule


def legal(c: Choices, kernel: Kernel) -> bool:
    """Tell whether mainline has, or could have, these choices together."""
    return next(objections(c, kernel), None) is None


def every_choice() -> Iterator[Choices]:
    """Return every combination of values, legal or not."""
    return itertools.starmap(Choices, itertools.product(Large, Tracking, Reporting, Mmu, Lock))


def nearest_legal(wanted: Choices, kernel: Kernel) -> Choices:
    """Return the legal choices with the fewest changes. Among equals, the earliest axis stays."""
    return max(
        (c for c in every_choice() if legal(c, kernel)),
        key=lambda c: (
            sum(map(_same, c, wanted)), c.mmu is wanted.mmu, c.reporting is wanted.reporting,
            c.large is kernel.large(c.mmu),
        ),
    )  # fmt: skip


def _same(a: object, b: object) -> bool:
    return a is b


class Chosen(NamedTuple):
    """A policy with every axis decided."""

    policy: Policy  # with decisions about sptes
    kernel: Kernel
    choices: Choices

    def tables(self) -> Tables:
        """Tabulate the policy. A kernel that splits in faults does so where the policy does not
        differ.
        """
        tables = tabulate(self.policy)
        if self.kernel.fast_path_is_small_only():
            (small, large), logging = tables.fast_path
            tables = tables._replace(fast_path=((small, (False,) * len(large)), logging))
        if self.choices.large in _BITS_SET and self.kernel.splits_on_fault(self.choices.mmu):
            return tables._replace(blocked=int(Edit.SPLIT))
        return tables


def choose(
    name: str | Policy,
    *,
    kernel: str | None = None,
    mmu: Mmu | None = None,
    reporting: Reporting | None = None,
) -> Chosen:
    """Decide every axis for a policy, given by name or as itself.

    The arguments decide what the policy leaves open. The defaults of the kernel decide the rest
    (None).

    Raises
    ------
    ConfigError
        If there is no such policy or kernel.
    MisfitError
        If policy and arguments contradict each other, or if the choices are illegal together. The
        message gives the reason and the nearest legal combination.
    """
    policy = policy_named(name) if isinstance(name, str) else name
    release = policy.kernel or kernel_named(kernel or DEFAULT_KERNEL)
    c = _decide(policy, release, mmu, reporting)
    broken = next(objections(c, release, policy.beyond_mainline), None)
    if broken is not None:
        later = (
            k
            for k in RELEASES
            if not any(objections(_decide(policy, k, mmu, reporting), k, policy.beyond_mainline))
        )
        misfit = _illegal(policy, c, release, broken, None if policy.kernel else next(later, None))
        raise misfit if policy.kernel or kernel else misfit.under(ASSUMED)
    return Chosen(_complete(policy, c.large, release), release, c)


def _decide(
    policy: Policy, kernel: Kernel, given_mmu: Mmu | None, given_report: Reporting | None
) -> Choices:
    own = cast("Any", policy.choices)
    usual = policy.mmus[0] if policy.mmus else kernel.mmu()
    mmu = _one_of(policy, "mmu", "vm.mmu", given_mmu, usual)
    if policy.mmus and mmu not in policy.mmus:
        raise MisfitError(
            "vm.mmu", mmu.value, f"is not supported by policy {policy.name!r}",
            f"take one of {', '.join(m.value for m in policy.mmus)}, or leave it out",
        )  # fmt: skip
    by_default = Reporting.GET_CLEARS
    report = _one_of(policy, "reporting", "driver.manual_protect", given_report, by_default)
    large = own.get("large") or _large_of(policy) or kernel.large(mmu)
    if report is Reporting.ALL_SET and large in (Large.READ_ONLY, Large.SPLIT_ON_FAULT):
        large = _at_start(kernel)[0]  # since 5.14 read-only not before the first clear
    tracking = own.get("tracking", Tracking.WRITE_PROTECT)
    return Choices(large, tracking, report, mmu, own.get("lock", kernel.lock()))


def _one_of(policy: Policy, axis: str, key: str, given: Value | None, default: Value) -> Value:
    own = cast("Value | None", policy.choices.get(axis))
    if own is not None and given is not None and own is not given:
        raise MisfitError(
            key, given.value, f"is contradicted by policy {policy.name!r}: {axis} = {own.value}",
            f"leave {key} out or choose another policy",
        )  # fmt: skip
    return own or given or default


def _illegal(
    policy: Policy, c: Choices, kernel: Kernel, broken: Rule, later: Kernel | None
) -> MisfitError:
    near = nearest_legal(c, kernel)
    changes = [
        f"{axis} = {new.value!r}"
        for axis, new, old in zip(AXES, near, c, strict=True)
        if new is not old
    ]
    value = getattr(c, broken.axis).value
    key = None if broken.axis in policy.choices else _KEYS.get(broken.axis)
    if key is None:
        rule = (
            f"cannot be in {kernel.name} with {broken.axis} = {value!r} and mmu = {c.mmu.value!r}"
        )
    else:
        rule = f"does not exist in {kernel.name} with policy {policy.name!r}"
    set_kernel = f"set vm.kernel = {later.name!r}, or take " if later else "take "
    return MisfitError(
        key or "policies", value if key else policy.name, f"{rule}: {broken.why}",
        f"{set_kernel}the nearest legal combination, which has {', '.join(changes)}",
    )  # fmt: skip


_KEYS: Final = {"reporting": "driver.manual_protect", "mmu": "vm.mmu"}
"""The key of an experiment that decides an axis which the policy leaves open."""


def _large_of(policy: Policy) -> Large | None:
    """Return how a policy with decisions of its own treats large sptes."""
    if not decides(policy) or not policy.tracks:
        return None
    leaf = Spte(Level.LARGE, present=True, writable=True, mmu_writable=True)
    at_fault = (
        Large.SPLIT_ON_FAULT if ask(policy, "blocked", leaf) is Edit.SPLIT else Large.READ_ONLY
    )
    return {Edit.ZAP: Large.ZAP, Edit.SPLIT: Large.EAGER_SPLIT}.get(
        ask(policy, "protect", leaf), at_fault
    )


_ROWS: Final = {
    Large.ZAP: "eager-drop", Large.READ_ONLY: "lazy-drop", Large.SPLIT_ON_FAULT: "split-on-fault",
    Large.EAGER_SPLIT: "eager_page_split", Large.DEFERRED: "deferred",
}  # fmt: skip
"""The policy that has the decisions for each treatment of large sptes."""


def _complete(policy: Policy, large: Large, kernel: Kernel) -> Policy:
    """Give a policy without decisions those that go with its choice."""
    if decides(policy):
        return policy
    row = _ROWS[large] if kernel.release > LAST_TO_WALK_ALL else "wp-all-levels"
    return combined(policy.name, [policy, policy_named(row)], kernel)
