"""Every load-bearing line of the mechanism is held by a test: without the line, it goes red.

Each mutant is a copy of the package with one line changed; a short selection of tests runs against
it in a process of its own. docs/evidence/mutations.md is the list for people.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import mmusim
from mmusim.engine.choice import SIMPY, VARIABLE

PACKAGE = Path(mmusim.__file__).parent
ROOT = PACKAGE.parent


class Mutant(NamedTuple):
    """A line that is switched off."""

    file: str
    line: str  # as it stands in the file, once
    instead: str
    killer: str  # the test that must go red


THEOREM, COUNT, STEPWISE = (
    "theorems/test_theorems.py::",
    "engines/test_generations.py::",
    "theorems/test_stateful.py::",
)
FORM = STEPWISE + "test_the_closed_forms_give_what_is_counted_by_hand"
COUNTERS = "engines/test_migration.py::test_write_counters_are_equal_at_both_ends"
TRUTH = THEOREM + "test_the_ledger_sums_to_the_vcpus_time"  # any busy run that is checked

MUTANTS = {
    "a lockless fix logs the page": Mutant(
        "mmu/fault.py",
        "    if tracked:\n        t.page[gfn] |= LOGGED\n",
        "",
        FORM + "[linux-6.13]",
    ),
    "a page that a fault maps writable is logged": Mutant(
        "mmu/fault.py",
        "byte | bits | LOGGED if logged else byte | bits",
        "byte | bits",
        FORM + "[linux-3.7]",
    ),
    "arming clears W": Mutant(
        "mmu/slot.py",
        "return _clear(entries, WRITABLE, PRESENT | WRITABLE, reachable)",
        "return _clear(entries, 0, PRESENT | WRITABLE, reachable)",
        FORM + "[linux-6.13]",
    ),
    "arming clears D under PML": Mutant(
        "mmu/slot.py",
        "return _clear(entries, DIRTY, PRESENT | WRITABLE | DIRTY, reachable)",
        "return _clear(entries, 0, PRESENT | WRITABLE | DIRTY, reachable)",
        FORM + "[linux-6.13+pml]",
    ),
    "a get re-arms what it reports": Mutant(
        "engine/host/rearm.py",
        "    small = mmu.rearm(vm.table, gfns, vm.pml)\n",
        "    small = 0\n",
        FORM + "[linux-6.13]",
    ),
    "a get flushes": Mutant(
        "engine/host/rearm.py",
        "    yield from unlock_and_flush(vm, host, needed)\n",
        "    yield from unlock_and_flush(vm, host, False)\n",
        TRUTH + "[constant costs-lazy-drop]",
    ),
    "enabling flushes": Mutant(
        "engine/host/enable_disable.py",
        "    yield from unlock_and_flush(vm, host, owed or plan.kernel.flushes_at_enable())\n",
        "    yield from unlock_and_flush(vm, host, False)\n",
        FORM + "[linux-3.16]",
    ),
    "a dropped large spte is flushed": Mutant(
        "engine/processes/page_fault.py",
        "    vm.revoke(NO_ENTRIES, regions_under(vm, gfn, level))\n"
        "    yield from flush_remote(vm, v)\n",
        "    vm.revoke(NO_ENTRIES, regions_under(vm, gfn, level))\n",
        FORM + "[linux-3.16]",
    ),
    "a slot that logs is mapped at 4 KiB": Mutant(
        "mmu/page_table.py",
        "    if tracked or backing == 1:\n",
        "    if backing == 1:\n",
        FORM + "[linux-3.7]",
    ),
    "the fast path refuses large sptes": Mutant(
        "policies/lazy_drop.py",
        "spte.mmu_writable and (spte.level == Level.SMALL or not tracked)",
        "spte.mmu_writable",
        FORM + "[linux-3.16]",
    ),
    "a TLB may keep W": Mutant(
        "mmu/slot.py",
        "        some[stale] |= held\n",
        "        some[stale] |= np.uint8(TLB_READ)\n",
        THEOREM + "test_a_get_that_does_not_flush_loses_writes",
    ),
    "an exit drains the PML buffer": Mutant(
        "engine/processes/guest_mode.py",
        "leave_kicked(vm, v, index)\n    if v.pml:\n        yield from drain_pml(vm, v, index)\n",
        "leave_kicked(vm, v, index)\n",
        COUNT + "test_a_get_kicks_the_vcpus_so_that_buffers_drain",
    ),
    "what drains is logged": Mutant(
        "engine/processes/guest_mode.py",
        "            vm.view.page[gfn] |= LOGGED\n",
        "",
        FORM + "[linux-6.13+pml]",
    ),
    "a ring that reaches its soft limit stops its vCPU": Mutant(
        "mmu/dirty_ring.py",
        "return len(self.entries) >= self.soft_limit",
        "return False",
        COUNT + "test_a_full_ring_stops_the_vcpu_and_costs_a_fault_more_each_time",
    ),
    "enabling waits for the faults in flight": Mutant(
        "engine/host/enable_disable.py",
        '    yield from synchronize_srcu(vm, host, host.once("c_srcu"), bitmap)\n    if all_set:\n',
        "    if all_set:\n",
        STEPWISE + "test_enabling_waits_for_the_faults_in_flight",
    ),
    "who shares the lock looks again for a fault that was faster": Mutant(
        "engine/processes/page_fault.py",
        "    if vm.tdp:\n        if permits(view, gfn, write):\n",
        "    if vm.tdp:\n        if False:\n",
        STEPWISE + "test_of_two_faults_on_a_page_one_maps_it",
    ),
    "who shares the lock retries where an entry is being replaced": Mutant(
        "engine/processes/page_fault.py",
        "    if vm.frozen and frozen(vm, gfn):\n",
        "    if False:\n",
        STEPWISE + "test_of_two_faults_on_a_large_spte_one_drops_it",
    ),
    "a split is noticed by planned runs": Mutant(
        "engine/processes/page_fault.py",
        "    replan(vm, v)\n",
        "",
        THEOREM + "test_a_split_that_others_do_not_notice_is_noticed",
    ),
    "a table that is not kept is freed": Mutant(
        "mmu/fault.py",
        "    if unlinked and not keep_child:\n",
        "    if False:\n",
        THEOREM + "test_cached_child_tables_turn_a_fault_a_page_into_a_fault_a_region",
    ),
    "clean guest mappings are read-only": Mutant(
        "mmu/guest_pde.py",
        "        return READ_ONLY, False\n",
        "        return LEAF, False\n",
        STEPWISE + "test_reading_clean_guest_memory_makes_nothing_dirty",
    ),
    "a write makes the destination's version old": Mutant(
        "engine/state/run_charges.py",
        "                page[gfn] |= STALE\n",
        "                pass\n",
        STEPWISE + "test_reading_clean_guest_memory_makes_nothing_dirty",
    ),
    "a walk flushes before it gives the lock up": Mutant(
        "engine/host/lock_break.py",
        "    if owed:\n        started = vm.now\n",
        "    if False:\n        started = vm.now\n",
        "engines/test_lock_break.py::"
        "test_who_write_protects_flushes_before_it_drops_the_lock_until_3_15[linux-3.15]",
    ),
    "the switch-over reads the log once more": Mutant(
        "engine/migration/migration.py",
        "        yield from self.log.read()\n        self.log.next_round()\n"
        "        invariants.check",
        "        self.log.next_round()\n        invariants.check",
        COUNTERS + "[constant costs-linux-6.13+pml]",
    ),
}


class Copy:
    """A copy of the package of which one line at a time is changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(PACKAGE, root / "mmusim", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", root)
        self.age = 0

    def write(self, file: Path, text: str) -> None:
        """Write a source so that no compiled copy of another version is taken for it."""
        file.write_text(text)
        self.age += 1
        os.utime(file, (1_600_000_000 + 60 * self.age,) * 2)

    def __enter__(self) -> Copy:
        env = os.environ | {"PYTHONPATH": str(self.root), "PYTEST_ADDOPTS": "", VARIABLE: SIMPY}
        self.server = subprocess.Popen(
            [sys.executable, "mmusim/tests/support/fork_server.py"],
            cwd=self.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self.server.communicate()  # the end of its input

    def test(self, *ids: str) -> tuple[int, str]:
        """Run tests of the copy in a process of their own; return its exit status and output."""
        options = ["-x", "--no-header", "--tb=line", "-p", "no:randomly", "-p", "no:xdist"]
        request = json.dumps([*options, *(f"mmusim/tests/{name}" for name in ids)])
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        print(request, file=self.server.stdin, flush=True)
        answer = json.loads(self.server.stdout.readline())
        return answer["returncode"], answer["stdout"]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    """The package as it is: the killers are green, and it is the copy that they test."""
    with Copy(tmp_path_factory.mktemp("mutants")) as made:
        init, killers = made.root / "mmusim" / "__init__.py", {m.killer for m in MUTANTS.values()}
        source = init.read_text()
        made.write(init, "raise ImportError('this is the copy')\n")
        status, output = made.test(min(killers))
        assert status != 0
        assert "this is the copy" in output
        made.write(init, source)
        status, output = made.test(*sorted(killers))
        assert status == 0, output
        yield made


@pytest.mark.parametrize("name", MUTANTS)
def test_no_load_bearing_line_can_be_switched_off_unnoticed(name: str, copy: Copy) -> None:
    mutant = MUTANTS[name]
    file = copy.root / "mmusim" / mutant.file
    source = file.read_text()
    assert source.count(mutant.line) == 1, "the line has moved; name it again"
    copy.write(file, source.replace(mutant.line, mutant.instead))
    try:
        status, output = copy.test(mutant.killer)
    finally:
        copy.write(file, source)
    assert status == 1, f"{name}: {mutant.killer} stayed green\n{output}"


def test_the_list_for_people_names_every_mutant() -> None:
    text = (ROOT / "docs" / "evidence" / "mutations.md").read_text()
    for name, mutant in MUTANTS.items():
        assert f"| {name} | `{mutant.file}` |" in text, name
    assert len(MUTANTS) >= 10
