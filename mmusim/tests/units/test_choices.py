"""The five axes: what goes together, what does not and why, and what each name stands for."""

from __future__ import annotations

import itertools

import pytest

from mmusim.base.errors import ConfigError, MisfitError
from mmusim.policies import (
    PRESETS,
    Kernel,
    Large,
    Lock,
    Mmu,
    Reporting,
    Tracking,
    choose,
    kernel_named,
    legal,
    nearest_legal,
    policies,
    policy_named,
)
from mmusim.policies.choices import every_choice
from mmusim.policies.history import HISTORY
from mmusim.policies.kernel import NEWEST, Disable

ROWS = {
    1: "wp-all-levels", 2: "eager-drop", 3: "lazy-drop", 4: "rmap-sparse", 5: "pml",
    6: "manual-clear", 7: "initially-all-set", 8: "eager_page_split", 9: "dirty-ring",
    10: "wp-all-root", 11: "none", 12: "tdp", 13: "split-on-fault",
}  # fmt: skip
"""The rows of the policy matrix (domain, B.1)."""


@pytest.mark.parametrize(
    "name", [*ROWS.values(), "legacy", "shadow", "nested", "eager_page_split-legacy"]
)
def test_every_row_is_a_policy_with_a_paragraph_and_commits(name: str) -> None:
    policy = policies()[name]
    assert len((policy.__doc__ or "").split()) > 20
    assert policy.commits or name == "none"


@pytest.mark.parametrize("kernel", PRESETS, ids=lambda kernel: kernel.name)
def test_every_preset_is_legal_and_says_what_it_has(kernel: Kernel) -> None:
    chosen = choose(kernel.name)
    assert chosen.kernel == kernel
    assert legal(chosen.choices, kernel)
    assert all(text in kernel.history() for since, text in HISTORY if since <= kernel.release)


@pytest.mark.parametrize(
    ("name", "large", "mmu", "lock"),
    [
        ("linux-2.6.37", Large.ZAP, Mmu.LEGACY, Lock.SPINLOCK),
        ("linux-3.7", Large.ZAP, Mmu.LEGACY, Lock.SPINLOCK),
        ("linux-3.15", Large.ZAP, Mmu.LEGACY, Lock.SPINLOCK),
        ("linux-3.16", Large.READ_ONLY, Mmu.LEGACY, Lock.SPINLOCK),
        ("linux-5.11", Large.READ_ONLY, Mmu.LEGACY, Lock.SPINLOCK),
        ("linux-5.14", Large.READ_ONLY, Mmu.LEGACY, Lock.RWLOCK),
        ("linux-5.15", Large.READ_ONLY, Mmu.TDP, Lock.RWLOCK),
        ("linux-5.18", Large.EAGER_SPLIT, Mmu.TDP, Lock.RWLOCK),
        ("linux-5.18+nested", Large.READ_ONLY, Mmu.NESTED, Lock.RWLOCK),
        ("linux-6.0+nested", Large.EAGER_SPLIT, Mmu.NESTED, Lock.RWLOCK),
        ("linux-6.13+shadow", Large.READ_ONLY, Mmu.SHADOW, Lock.RWLOCK),
        ("linux-6.13+legacy+initially-all-set", Large.DEFERRED, Mmu.LEGACY, Lock.RWLOCK),
        ("linux-6.13+initially-all-set", Large.EAGER_SPLIT, Mmu.TDP, Lock.RWLOCK),
    ],
)
def test_a_release_chooses_what_it_did(name: str, large: Large, mmu: Mmu, lock: Lock) -> None:
    choices = choose(name).choices
    assert (choices.large, choices.mmu, choices.lock) == (large, mmu, lock)


@pytest.mark.parametrize("kernel", PRESETS, ids=lambda kernel: kernel.name)
def test_the_nearest_legal_choice_is_legal_and_none_is_nearer(kernel: Kernel) -> None:
    allowed = [c for c in every_choice() if legal(c, kernel)]
    assert allowed
    for wanted in itertools.islice(every_choice(), 0, None, 7):
        near = nearest_legal(wanted, kernel)
        assert near in allowed

        def distance(c: tuple[object, ...], wanted: tuple[object, ...] = wanted) -> int:
            return sum(a is not b for a, b in zip(c, wanted, strict=True))

        assert distance(near) == min(map(distance, allowed))
        assert (near == wanted) == (wanted in allowed)


def test_only_combinations_that_could_be_are_legal() -> None:
    """Every legal combination of every preset keeps the rules of domain B.1, said again here."""
    for kernel in PRESETS:
        for c in every_choice():
            if legal(c, kernel):
                assert c.mmu is not Mmu.TDP or kernel.release >= (5, 10)
                assert c.tracking is not Tracking.PML or c.mmu in (Mmu.TDP, Mmu.LEGACY)
                assert c.large is not Large.EAGER_SPLIT or c.mmu in (Mmu.TDP, Mmu.NESTED)
                assert c.large is not Large.SPLIT_ON_FAULT or c.mmu is Mmu.TDP
                later = (Large.DEFERRED, Large.EAGER_SPLIT)
                at_first = later if kernel.release >= (5, 14) else (Large.READ_ONLY,)
                assert c.reporting is not Reporting.ALL_SET or c.large in at_first
                assert c.large is not Large.DEFERRED or c.reporting is Reporting.ALL_SET
                assert (c.lock is Lock.RWLOCK) == (kernel.release >= (5, 12))
    counts = [sum(legal(c, kernel) for c in every_choice()) for kernel in PRESETS]
    assert counts == sorted(counts), "later kernels have more to choose from"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tdp", {"kernel": "linux-3.7"}, "came in 5.10 (from linux-5.10); set vm.kernel"),
        ("pml+nested", {"kernel": "linux-6.1"}, "which has tracking = 'write-protect'"),
        ("split-on-fault", {"kernel": "linux-6.1"}, "splitting in the fault came in 6.2"),
        ("split-on-fault+legacy", {"kernel": "linux-6.13"}, "only the TDP MMU splits in a fault"),
        ("eager_page_split+shadow", {"kernel": "linux-6.13"}, "parameter does nothing there"),
        ("deferred+get-clears", {"kernel": "linux-6.13"}, "decides reporting twice"),
        ("eager-drop", {"kernel": "linux-6.1", "reporting": Reporting.ALL_SET}, "is armed before"),
        ("dirty-ring", {"kernel": "linux-5.7"}, "the dirty ring came in 5.11"),
        ("spinlock", {"kernel": "linux-5.15"}, "mmu_lock is a rwlock since 5.12"),
        ("linux-3.7+linux-6.1", {}, "names two kernels"),
        ("eager-drop+lazy-drop", {}, "decides large twice, zap and read-only"),
        ("eager-dorp", {}, "did you mean 'eager-drop'?"),
        ("linux-2.6.20", {}, f"is not a release of Linux from 2.6.28 to {NEWEST.name[6:]}"),
        ("linux-6", {}, f"is not a release of Linux from 2.6.28 to {NEWEST.name[6:]}"),
        ("tdp", {"kernel": "linux-6.1", "mmu": Mmu.LEGACY}, "is contradicted by policy 'tdp'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_reason_and_remedy(
    name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises((ConfigError, MisfitError)) as caught:
        choose(name, **options)  # type: ignore[arg-type]
    error = caught.value
    text = str(error.complaint("x") if isinstance(error, MisfitError) else error)
    assert message in text


def test_a_proposal_is_not_bound_by_what_was_merged() -> None:
    choices = choose("eager_page_split-legacy", kernel="linux-5.18").choices
    assert (choices.large, choices.mmu) == (Large.EAGER_SPLIT, Mmu.LEGACY)
    with pytest.raises(MisfitError):
        choose("eager_page_split+legacy", kernel="linux-5.18")


def test_a_kernel_splits_in_faults_where_the_policy_does_not_say_otherwise() -> None:
    def at_fault(name: str) -> int:
        return choose(name).tables().blocked

    assert at_fault("linux-6.13") == at_fault("linux-6.13+split-on-fault") == 3
    assert at_fault("linux-6.1") == at_fault("linux-6.13+lazy-drop") == 2
    assert at_fault("linux-6.13+deferred") == 3
    assert at_fault("linux-6.13+legacy+deferred") == 2


def test_disabling_is_that_of_the_release() -> None:
    ways = [kernel_named(name).disable(Mmu.TDP) for name in (
        "linux-3.16", "linux-4.1", "linux-5.18", "linux-5.19", "linux-6.12", "linux-6.13",
    )]  # fmt: skip
    assert ways == [
        Disable.KEEP_SMALL, Disable.ZAP_SMALL, Disable.ZAP_SMALL, Disable.ZAP_TABLES,
        Disable.ZAP_TABLES, Disable.RECOVER,
    ]  # fmt: skip
    assert kernel_named("linux-6.13").disable(Mmu.LEGACY) is Disable.ZAP_SMALL


def test_parts_of_a_name_add_up() -> None:
    policy = policy_named("eager_page_split+pml+dirty-ring+tdp")
    assert policy.choices == {
        "large": Large.EAGER_SPLIT, "tracking": Tracking.PML, "reporting": Reporting.DIRTY_RING,
        "mmu": Mmu.TDP,
    }  # fmt: skip
    assert policy.name == "eager_page_split+pml+dirty-ring+tdp"
