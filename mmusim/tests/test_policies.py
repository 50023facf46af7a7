"""Policies: the registry, what tabulating refuses, and the answers of each shipped policy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import mmusim
from mmusim.errors import ConfigError
from mmusim.mmu.spte import ACCESS, Edit, Level, Spte
from mmusim.policies import KERNELS, Policy, kernel_named, policies, policy_named, tabulate
from mmusim.policies.base import every_leaf

LARGE_RW = Spte(Level.LARGE, True, True, True)
LARGE_RO = Spte(Level.LARGE, True, False, True)
SMALL_RW = Spte(Level.SMALL, True, True, True)
SMALL_RO = Spte(Level.SMALL, True, False, True)
LEAVES = [LARGE_RW, LARGE_RO, SMALL_RW, SMALL_RO]


@pytest.fixture(autouse=True)
def _registry_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(Policy, "_registry", dict(Policy._registry))


def complaint(error: ConfigError) -> tuple[str, str, object, str, str]:
    (c,) = error.complaints
    return c.source, c.key, c.value, c.rule, c.remedy


# The registry.


def test_the_shipped_policies_are_registered_in_order_of_their_names() -> None:
    names = list(policies())

    assert {"eager-drop", "lazy-drop", "none"} <= set(names)
    assert names == sorted(names)


def test_a_policy_is_named_once_and_called_by_its_name() -> None:
    for name, policy in policies().items():
        assert policy.name == name
        assert type(policy_named(name)) is policy


def test_a_subclass_with_a_name_is_registered_and_one_without_is_not() -> None:
    class Named(Policy, name="named-here"):
        pass

    class Nameless(Policy):
        pass

    assert policies()["named-here"] is Named
    assert Nameless not in policies().values()
    assert Nameless.name == "Nameless"
    assert Named.name == "named-here"


def test_a_nameless_variant_does_not_go_by_the_name_of_its_parent() -> None:
    class Variant(type(policy_named("lazy-drop"))):
        pass

    assert Variant.name == "Variant"
    assert Variant().protect(LARGE_RW) is Edit.WRITE_PROTECT


def test_the_table_of_policies_is_a_copy() -> None:
    policies().clear()

    assert policies()


def test_a_name_is_given_once() -> None:
    with pytest.raises(TypeError) as caught:

        class Again(Policy, name="lazy-drop"):
            pass

    assert str(caught.value) == (
        "policy name 'lazy-drop' is taken by mmusim.policies.lazy_drop.LazyDrop"
    )
    assert policies()["lazy-drop"].__name__ == "LazyDrop"


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("lazy-dorp", "did you mean 'lazy-drop'?"),
        ("eager", "did you mean 'eager-drop'?"),
        ("xyzzy", "known: eager-drop, lazy-drop, none"),
    ],
)
def test_an_unknown_policy_is_answered_with_the_nearest_or_all(
    name: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = {n: Policy._registry[n] for n in ("eager-drop", "lazy-drop", "none")}
    monkeypatch.setattr(Policy, "_registry", shipped)
    with pytest.raises(ConfigError) as caught:
        policy_named(name)

    assert complaint(caught.value) == ("policies", "name", name, "is not a policy", remedy)
    assert str(caught.value) == f"policies: name = {name!r}: is not a policy; {remedy}"


# What is asked of a policy.


def test_every_leaf_is_every_leaf_once_in_the_order_of_its_bits() -> None:
    leaves = list(every_leaf(Level.LARGE))

    assert len(leaves) == len(set(leaves)) == ACCESS + 1
    assert leaves[0b011] == Spte(Level.LARGE, True, True, False)
    assert leaves[0b101] == LARGE_RO


class Protecting(Policy):
    """Write-protects everything; the fast path is the default."""

    def protect(self, spte: Spte) -> Edit:
        return Edit.WRITE_PROTECT


def test_the_default_fast_path_fixes_whatever_the_mmu_may_write() -> None:
    for tracked in (False, True):
        assert Protecting().fast_path(LARGE_RO, tracked)
        assert Protecting().fast_path(SMALL_RO, tracked)
        assert not Protecting().fast_path(SMALL_RO._replace(mmu_writable=False), tracked)


def test_a_table_holds_the_answers_of_the_policy() -> None:
    tables = tabulate(policy_named("lazy-drop"))

    assert tables.protect_large == Edit.WRITE_PROTECT
    for tracked in (False, True):
        for level in Level:
            for bits, leaf in enumerate(every_leaf(level)):
                read_only = leaf.present and not leaf.writable
                expected = read_only and policy_named("lazy-drop").fast_path(leaf, tracked)
                assert tables.fast_path[tracked][level - 1][bits] == expected


def test_the_fast_path_is_for_read_only_leaves_only() -> None:
    """Whatever the policy says about leaves that are absent or already writable."""

    class Always(Protecting):
        def fast_path(self, spte: Spte, tracked: bool) -> bool:
            return True

    for by_level in tabulate(Always()).fast_path:
        for by_bits in by_level:
            assert by_bits == tuple(
                leaf.present and not leaf.writable for leaf in every_leaf(Level.SMALL)
            )


@pytest.mark.parametrize("kept", [SMALL_RW, SMALL_RW._replace(mmu_writable=False)])
@pytest.mark.parametrize("edit", [Edit.KEEP, Edit.ZAP])
def test_a_policy_that_does_not_clear_w_on_a_writable_small_leaf_is_refused(
    kept: Spte, edit: Edit
) -> None:
    class Sloppy(Policy):
        def protect(self, spte: Spte) -> Edit:
            return edit if spte == kept else Edit.WRITE_PROTECT

    with pytest.raises(ConfigError) as caught:
        tabulate(Sloppy())

    assert complaint(caught.value) == (
        "policies.Sloppy",
        "protect",
        sorted([edit.name, "WRITE_PROTECT"]),
        "must clear W on every writable small leaf, or its writes are not logged",
        "return Edit.WRITE_PROTECT for Level.SMALL",
    )


@pytest.mark.parametrize("other", [LARGE_RO, LARGE_RW, LARGE_RW._replace(mmu_writable=False)])
def test_a_policy_that_treats_large_leaves_unequally_is_refused(other: Spte) -> None:
    class Uneven(Policy):
        def protect(self, spte: Spte) -> Edit:
            return Edit.ZAP if spte == other else Edit.WRITE_PROTECT

    with pytest.raises(ConfigError) as caught:
        tabulate(Uneven())

    source, key, value, rule, remedy = complaint(caught.value)
    assert (source, key) == ("policies.Uneven", "protect")
    assert isinstance(value, dict)
    assert set(value) == {"LARGE_RW", "LARGE_RO"}
    assert rule == "must treat all large leaves alike and keep none"
    assert remedy == "return WRITE_PROTECT or ZAP for every large leaf"


def test_a_policy_that_keeps_large_leaves_is_refused() -> None:
    class Keeping(Policy):
        def protect(self, spte: Spte) -> Edit:
            return Edit.KEEP if spte.level == Level.LARGE else Edit.WRITE_PROTECT

    with pytest.raises(ConfigError, match="must treat all large leaves alike and keep none"):
        tabulate(Keeping())


def test_what_happens_to_absent_or_read_only_small_leaves_is_free() -> None:
    """Negative control: the refusals above are not refusals of everything unusual."""

    class Odd(Policy):
        def protect(self, spte: Spte) -> Edit:
            small_and_needs_it = spte.level == Level.SMALL and spte.present and spte.writable
            large = spte.level == Level.LARGE and spte.present
            return Edit.WRITE_PROTECT if small_and_needs_it or large else Edit.KEEP

    assert tabulate(Odd()).protect_large == Edit.WRITE_PROTECT


def test_a_policy_that_never_tracks_is_not_asked_what_arming_does() -> None:
    class Silent(Policy):
        tracks = False

    assert tabulate(Silent()).protect_large == Edit.KEEP


def test_a_policy_that_does_not_say_what_arming_does_is_refused() -> None:
    class Silent(Policy):
        pass

    with pytest.raises(NotImplementedError) as caught:
        tabulate(Silent())

    assert str(caught.value) == "policy 'Silent' does not say what protect time does"


# The shipped policies.


@pytest.mark.parametrize("name", sorted(policies()))
def test_a_shipped_policy_says_in_one_line_what_it_does(name: str) -> None:
    summary = policies()[name].summary()

    assert summary.endswith(".")
    assert "\n" not in summary
    assert 20 < len(summary) < 200


@pytest.mark.parametrize("name", sorted(policies()))
def test_a_shipped_policy_can_be_tabulated_and_names_known_mmus(name: str) -> None:
    policy = policy_named(name)

    assert tabulate(policy).protect_large in list(Edit)
    assert policy.mmu == ("legacy",)
    assert bool(policy.commits) == policy.tracks


@pytest.mark.parametrize(
    ("name", "large", "small"),
    [
        ("eager-drop", Edit.ZAP, Edit.WRITE_PROTECT),
        ("lazy-drop", Edit.WRITE_PROTECT, Edit.WRITE_PROTECT),
        ("none", Edit.KEEP, Edit.KEEP),
    ],
)
def test_protect_time_of_a_shipped_policy(name: str, large: Edit, small: Edit) -> None:
    policy = policy_named(name)

    assert [policy.protect(leaf) for leaf in LEAVES] == [large, large, small, small]


@pytest.mark.parametrize(
    ("name", "large_tracked", "large_untracked"),
    [("eager-drop", True, True), ("lazy-drop", False, True), ("none", True, True)],
)
def test_the_fast_path_of_a_shipped_policy(
    name: str, large_tracked: bool, large_untracked: bool
) -> None:
    """Only lazy-drop ever sees a large leaf in a tracked slot; only there it says no."""
    policy = policy_named(name)

    assert policy.fast_path(LARGE_RO, True) is large_tracked
    assert policy.fast_path(LARGE_RO, False) is large_untracked
    assert policy.fast_path(SMALL_RO, True) is policy.fast_path(SMALL_RO, False) is True
    for leaf in (LARGE_RO, SMALL_RO):
        assert policy.fast_path(leaf._replace(mmu_writable=False), True) is False


def test_only_the_baseline_does_not_track() -> None:
    assert [name for name in ("eager-drop", "lazy-drop", "none") if policies()[name].tracks] == [
        "eager-drop",
        "lazy-drop",
    ]


# Kernels.


def test_a_kernel_is_found_by_its_name() -> None:
    for name, kernel in KERNELS.items():
        assert kernel_named(name) is kernel
        assert kernel.name == name


def test_what_a_kernel_gained_it_kept() -> None:
    """Initially-all-set needs manual protect; neither exists before 5.2."""
    for kernel in KERNELS.values():
        assert kernel.manual_protect >= kernel.initially_all_set
    assert [name for name, k in KERNELS.items() if k.manual_protect] == ["linux-6.1"]


def test_an_unknown_kernel_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        kernel_named("linux-3.8")

    assert complaint(caught.value) == (
        "vm",
        "kernel",
        "linux-3.8",
        "is not a kernel mmusim models",
        "did you mean 'linux-3.7'?",
    )


# Policies from outside.

OUTSIDE = '''
from mmusim.policies import Policy
from mmusim.mmu.spte import Edit

class Foreign(Policy, name="foreign"):
    """Comes from another package."""

    def protect(self, spte):
        return Edit.WRITE_PROTECT
'''


def install(site: Path) -> None:
    """What an installer leaves behind: a module and its metadata with an entry point."""
    (site / "outside_policy.py").write_text(OUTSIDE)
    info = site / "outside_policy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-policy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mmusim.policies]\nforeign = outside_policy:Foreign\n")


def policies_seen_with(site: Path) -> list[str]:
    program = (
        "from mmusim.policies import policies, policy_named, tabulate\n"
        "print(*policies())\n"
        "if 'foreign' in policies(): tabulate(policy_named('foreign'))"
    )
    root = Path(mmusim.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={"PYTHONPATH": f"{site}:{root}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_an_installed_package_adds_its_policy_without_a_line_changed_here(tmp_path: Path) -> None:
    install(tmp_path)

    assert "foreign" in policies_seen_with(tmp_path)


def test_a_package_without_the_entry_point_adds_nothing(tmp_path: Path) -> None:
    """Negative control: the module alone is not imported."""
    install(tmp_path)
    (tmp_path / "outside_policy-1.0.dist-info" / "entry_points.txt").unlink()

    assert "foreign" not in policies_seen_with(tmp_path)
