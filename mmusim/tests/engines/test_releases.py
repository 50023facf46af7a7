"""Every release of Linux runs, in every MMU it had, and no other is taken for one."""

from __future__ import annotations

import itertools
import re

import pytest

from mmusim.base.errors import ConfigError, MisfitError
from mmusim.engine import simulate
from mmusim.plan.make import make_plan
from mmusim.policies import DEFAULT_KERNEL, RELEASES, Kernel, Mmu, choose, kernel_named
from mmusim.policies.history import HISTORY
from mmusim.tests.support.settings import only, setting

TINY = [
    {"do": "write", "pages": "2%"},
    {"do": "enable-logging"},
    {"do": "write", "pages": "2%"},
    {"do": "get-dirty-log"},
    {"do": "write", "pages": "1%"},
    {"do": "get-dirty-log"},
    {"do": "disable-logging"},
    {"do": "read", "pages": "2%"},
]


def had(kernel: Kernel, mmu: Mmu) -> bool:
    return mmu is not Mmu.TDP or kernel.release >= (5, 10)


@pytest.mark.parametrize("mmu", Mmu, ids=lambda mmu: mmu.value)
def test_every_release_runs_in_every_mmu_it_had(mmu: Mmu) -> None:
    """And reports exactly the pages that were written; 10 and 5 of 512."""
    running = [kernel for kernel in RELEASES if had(kernel, mmu)]
    assert len(running) == (34 if mmu is Mmu.TDP else 97)
    for kernel in running:
        name = f"{kernel.name}+{mmu.value}"
        made = setting(TINY, memory="2MiB", policies=only(name))
        phases = simulate(make_plan(made, name, 1), engine="simpy").phases
        assert [phases[i].dirty for i in (3, 5)] == [10, 5], name
        assert phases[2].counters["pf_taken"] > 0, name


@pytest.mark.parametrize("kernel", [k for k in RELEASES if not had(k, Mmu.TDP)][-1:])
def test_an_mmu_that_a_release_lacks_is_refused(kernel: Kernel) -> None:
    with pytest.raises(MisfitError, match=r"the TDP MMU came in 5\.10"):
        choose(f"{kernel.name}+tdp")


def test_the_list_has_every_release_once_in_order_and_no_gap() -> None:
    """A series ends where the next begins; only the last may be open."""
    releases = [kernel.release for kernel in RELEASES]
    assert releases == sorted(set(releases))
    assert all(kernel_named(kernel.name) == kernel for kernel in RELEASES)
    for series, members in itertools.groupby(releases, key=lambda release: release[:-1]):
        minors = [release[-1] for release in members]
        assert minors == list(range(28 if series == (2, 6) else 0, minors[-1] + 1))
    assert all(since in releases for since, _ in HISTORY)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("linux-9.99", "take the newest that is known"),
        ("linux-7.99", "take the newest that is known"),
        ("linux-4.21", "write e.g. 'linux-6.13'"),
        ("linux-2.6.27", "write e.g. 'linux-6.13'"),
        ("linux-6.8-rc1", "did you mean 'linux-6.8'?"),
        ("linux-6.8.12", "did you mean 'linux-6.8'?"),
        ("linux-6.08", "write e.g."),
        ("linux-６.8", "write e.g."),
        ("Linux 6.8", "write e.g."),
        ("", "write e.g."),
    ],
)
def test_a_release_that_is_not_known_is_refused(name: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(remedy)):
        kernel_named(name)


def test_the_default_is_the_newest_release_and_an_error_that_it_causes_says_so() -> None:
    assert RELEASES[-1].name == DEFAULT_KERNEL == choose("get-clears").kernel.name
    with pytest.raises(MisfitError, match=rf"\({DEFAULT_KERNEL} is the default, vm.kernel is not"):
        choose("spinlock")
    with pytest.raises(MisfitError) as caught:
        choose("spinlock", kernel=DEFAULT_KERNEL)
    assert "default" not in str(caught.value), "control: the same kernel, asked for"
