"""Load-bearing lines of the mechanism, switched off one at a time: a test goes red for each.

Each mutant is a copy of the package with one line changed, in which one test is run. The list is
also a map: what carries the model, and which test holds it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import mmusim

PACKAGE = Path(mmusim.__file__).parent


class Mutant(NamedTuple):
    file: str
    line: str
    becomes: str
    killer: str  # a test that goes red


OPERATIONS = "test_bills.py::test_the_time_of_every_operation_is_its_bill"
BUSY = "test_theorems.py::test_a_page_is_stale_exactly_where_the_write_counters_differ"
MUTANTS = {
    "a lockless fix logs the page": Mutant(
        "mmu/fault.py", "        t.page[gfn] |= LOGGED\n", "        pass\n",
        f"{OPERATIONS}[linux-6.13]",
    ),
    "a slow fault logs the page": Mutant(
        "mmu/fault.py", "byte | bits | LOGGED if logged", "byte | bits if logged",
        f"{OPERATIONS}[eager-drop]",
    ),
    "a get arms the pages again": Mutant(
        "mmu/slot.py", "    t.page[gfns] = bytes_\n    return changed", "    return changed",
        f"{OPERATIONS}[lazy-drop]",
    ),
    "a get flushes": Mutant(
        "engine/log_reports.py", "    yield from unlock_and_flush(vm, host, needed)\n",
        "    vm.lock.release(HOST)\n", f"{BUSY}[random costs-lazy-drop]",
    ),
    "a TLB may hold what is taken back": Mutant(
        "mmu/slot.py", "|= np.uint8(TLB)", "|= np.uint8(0)",
        "test_theorems.py::test_a_get_that_does_not_flush_loses_writes",
    ),
    "nothing is mapped large in a slot that logs": Mutant(
        "mmu/page_table.py", "if tracked or backing == 1:", "if backing == 1:",
        f"{OPERATIONS}[eager-drop]",
    ),
    "the lockless path refuses large sptes": Mutant(
        "policies/lazy_drop.py",
        "return spte.mmu_writable and (spte.level == Level.SMALL or not tracked)",
        "return spte.mmu_writable", f"{OPERATIONS}[lazy-drop]",
    ),
    "a dropped large spte is flushed": Mutant(
        "engine/page_fault.py",
        "    vm.take_back(NO_PAGES, slice(pages.start >> 9, pages.stop >> 9))\n"
        "    yield from flush_remote(vm, v)\n",
        "    vm.take_back(NO_PAGES, slice(pages.start >> 9, pages.stop >> 9))\n",
        "test_generations.py::test_dropping_a_gib_leaves_nothing_mapped_but_the_page",
    ),
    "a split is seen by the others": Mutant(
        "engine/page_fault.py", "    replan(vm, v)\n", "",
        "test_theorems.py::test_a_split_that_others_do_not_notice_is_noticed",
    ),
    "an exit drains the PML buffer": Mutant(
        "engine/guest_mode.py", "            vm.view.page[gfn] |= LOGGED\n", "            pass\n",
        f"{OPERATIONS}[linux-6.13+pml]",
    ),
    "a full ring stops its vCPU": Mutant(
        "mmu/dirty_ring.py", "return len(self.entries) >= self.soft_limit", "return False",
        "test_generations.py::test_a_full_ring_stops_the_vcpu_and_costs_a_fault_more_each_time",
    ),
    "a ring's reset arms what was harvested": Mutant(
        "engine/dirty_rings.py", "if rearm(vm.table, gfns, vm.pml):", "if False:",
        f"{OPERATIONS}[dirty-ring]",
    ),
    "a child table comes back with its sptes": Mutant(
        "mmu/fault.py", "    if unlinked and not keep_child:\n", "    if unlinked:\n",
        "test_theorems.py::"
        "test_cached_child_tables_turn_a_fault_a_page_into_a_fault_a_region",
    ),
    "a clean guest mapping is read-only": Mutant(
        "mmu/guest_pde.py", "return READ_ONLY, False", "return LEAF, False",
        "test_conform.py::test_a_wrong_mechanism_is_found[writable sptes for clean guest mappings]",
    ),
    "a first clear arms the large spte over it": Mutant(
        "mmu/slot.py", "        changed += write_protect(bytes_)\n", "",
        f"{OPERATIONS}[deferred]",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, of which one file at a time is changed."""
    root = tmp_path_factory.mktemp("mutants")
    shutil.copytree(PACKAGE, root / "mmusim", ignore=shutil.ignore_patterns("__pycache__"))
    return root


def passes(root: Path, test: str) -> bool:
    """Run one test of the copy."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist",
         str(root / "mmusim" / "tests" / test)],
        env=os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr  # 1: a test failed
    return done.returncode == 0


@pytest.mark.parametrize("name", MUTANTS)
def test_a_test_goes_red_without(name: str, copy: Path) -> None:
    mutant = MUTANTS[name]
    path = copy / "mmusim" / mutant.file
    source = path.read_text()
    assert source.count(mutant.line) == 1, "the line is there, once"
    assert passes(copy, mutant.killer), "control: green as it is"
    try:
        path.write_text(source.replace(mutant.line, mutant.becomes))
        assert not passes(copy, mutant.killer)
    finally:
        path.write_text(source)
