"""The livelock of November 2012: when it loops, what ends it, and that nothing else does."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from mmusim.base.errors import ConfigError
from mmusim.comparison.compare import judge
from mmusim.config.claims import Claim
from mmusim.config.load import check as validated
from mmusim.config.page_table_write import WritePageTable
from mmusim.engine import simulate
from mmusim.metrics.measure import measure
from mmusim.metrics.stored import from_record, to_record
from mmusim.mmu.soft import (
    KERNELS,
    LargeLeaf,
    Options,
    PageTableWrite,
    Retry,
    attempt,
    loops,
    run,
)
from mmusim.mmu.soft.emulate import Outcome
from mmusim.plan.make import make_plan
from mmusim.tests.support.self_mapping import self_mapping
from mmusim.tests.support.settings import setting

BOTH = (False, True)
OLD = KERNELS["linux-3.7"]
PATCH = KERNELS["lazily drop large spte"]


def corners() -> Iterator[PageTableWrite]:
    """Every scenario there can be."""
    for shadow, chain, large, level, emulatable, pte, vectoring in itertools.product(
        BOTH, BOTH, BOTH, (1, 2, 3), BOTH, BOTH, BOTH
    ):
        for leaf, early, check, retry in itertools.product(LargeLeaf, BOTH, BOTH, Retry):
            if level > 1 or not large:
                options = Options(leaf, early, check, retry)
                yield PageTableWrite(
                    shadow, chain, large, level, emulatable, pte, vectoring, options
                )


CORNERS = list(corners())


def end(c: PageTableWrite, patience: int = 6) -> tuple[Outcome, int]:
    mmu, setup, store = c.build()
    for access in setup:
        assert run(mmu, access)[0] == "progress"
    return run(mmu, store, patience)


def does_loop(c: PageTableWrite) -> bool:
    """Run to a state that was there before: from then on it is the same for ever."""
    mmu, setup, store = c.build()
    for access in setup:
        run(mmu, access)
    seen = set()
    while (state := mmu.snapshot()) not in seen:
        seen.add(state)
        if attempt(mmu, store) != "retry":
            return False
    return True


def test_it_loops_exactly_when_the_predicate_says_so() -> None:
    wrong = [c for c in CORNERS if does_loop(c) != loops(c)]
    assert wrong == []
    assert 0 < sum(map(loops, CORNERS)) < len(CORNERS)


@pytest.mark.parametrize(
    "forgotten",
    [
        {"shadow_paging": True},
        {"chain_contains_x": True},
        {"emulatable": False},
        {"writes_page_tables": True},
        {"vectoring": False},
        {"table_level": 2, "large_guest_page": False},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_predicate_that_forgets_a_premise_is_found(forgotten: dict[str, Any]) -> None:
    """Negative control of the comparison."""
    assert any(does_loop(c) != loops(dataclasses.replace(c, **forgotten)) for c in CORNERS[::3])


def as_listed(c: PageTableWrite) -> bool:
    """D.3 word for word, as one list of premises."""
    options = c.options
    level_is_large = options.level_before_shadowing and not options.self_change_check
    return (
        c.shadow_paging
        and c.chain_contains_x
        and c.large_guest_page
        and c.table_level > 1
        and level_is_large
        and (not c.emulatable or c.vectoring)
        and options.retry is Retry.NONE
    )


def test_the_list_of_d3_is_sufficient_where_a_refused_large_spte_is_retried() -> None:
    """The code that 7751babd3c6d was written for; before it a refusal is emulated."""
    for c in CORNERS:
        if as_listed(c) and (not c.emulatable or c.options.large is LargeLeaf.RETRY):
            assert loops(c), c


def test_what_the_list_of_d3_leaves_out() -> None:
    """Loops of an instruction that cannot be emulated do not need a large mapping."""
    base = PageTableWrite(options=Options(retry=Retry.NONE))
    assert as_listed(base)
    small = dataclasses.replace(base, large_guest_page=False)
    late = dataclasses.replace(
        base, options=Options(level_before_shadowing=False, retry=Retry.NONE)
    )
    check = dataclasses.replace(base, options=Options(self_change_check=True, retry=Retry.NONE))
    for c in (small, late, check, PageTableWrite()):
        assert does_loop(c)
        assert not as_listed(c)


@pytest.mark.parametrize("options", [OLD, PATCH], ids=["drop", "read-only"])
def test_the_old_code_loops_and_so_does_the_patch(options: Options) -> None:
    assert does_loop(PageTableWrite(options=options))
    assert end(PageTableWrite(options=options), 50) == ("retry", 50)


@pytest.mark.parametrize("options", [OLD, PATCH], ids=["drop", "read-only"])
def test_not_in_its_own_chain_it_takes_exactly_two_faults(options: Options) -> None:
    assert end(PageTableWrite(chain_contains_x=False, options=options)) == ("progress", 2)


def test_an_instruction_that_can_be_emulated_makes_progress_in_one_lap() -> None:
    assert end(PageTableWrite(emulatable=True)) == ("progress", 1)


def test_a_table_of_level_1_goes_out_of_sync_instead() -> None:
    assert end(PageTableWrite(large_guest_page=False, table_level=1)) == ("progress", 1)


def test_two_dimensional_paging_knows_nothing_of_it() -> None:
    mmu, setup, store = PageTableWrite(shadow_paging=False).build()
    for access in (*setup, store):
        assert run(mmu, access)[0] == "progress"
    assert mmu.stat["pf_emulate"] == 0
    assert not +mmu.disallow_lpage


# --- D.4: each fix ends the loop it was made for, in its way; without it the loop is there -------


def fixed(c: PageTableWrite, **options: Any) -> tuple[Outcome, int]:
    assert does_loop(c), "negative control: without the fix it loops"
    return end(dataclasses.replace(c, options=dataclasses.replace(c.options, **options)))


def test_last_retry_eip_lets_the_second_lap_emulate() -> None:
    c = PageTableWrite(emulatable=True, writes_page_tables=False, options=KERNELS["linux-3.2"])
    assert fixed(c, retry=Retry.LAST_RIP) == ("progress", 2)
    unknown = dataclasses.replace(c, emulatable=False, options=OLD)
    assert does_loop(unknown), "it guards the optimization only"


def test_is_self_change_mapping_ends_the_loop_of_an_exception() -> None:
    c = PageTableWrite(emulatable=True, vectoring=True, options=Options(LargeLeaf.RETRY))
    assert fixed(c, self_change_check=True) == ("progress", 1)


def test_is_self_change_mapping_makes_one_fault_of_two() -> None:
    """A store beside the walk's own table: large, refused, 4 KiB; or 4 KiB at once."""
    for check, faults in ((False, 2), (True, 1)):
        c = PageTableWrite(options=Options(LargeLeaf.RETRY, self_change_check=check))
        mmu, _, store = c.build()
        beside = store._replace(gva=store.gva + 0x1000)
        assert run(mmu, beside) == ("progress", faults)


def test_write_fault_to_shadow_pgtable_reports_to_user_space() -> None:
    assert fixed(PageTableWrite(), retry=Retry.WRITE_FAULT_TO_SP) == ("internal-error", 1)


def test_the_write_protect_fault_handler_retries_once() -> None:
    assert fixed(PageTableWrite(), retry=Retry.WRITE_PROTECT_FAULT) == ("internal-error", 2)


@pytest.mark.parametrize(
    ("kernel", "outcome", "faults"),
    [
        ("linux-3.2", "retry", 100),
        ("linux-3.7", "retry", 100),
        ("lazily drop large spte", "retry", 100),
        ("linux-3.9", "internal-error", 1),
        ("linux-6.13", "internal-error", 2),
    ],
)
def test_the_program_that_was_asked_for(kernel: str, outcome: str, faults: int) -> None:
    assert self_mapping(kernel) == (outcome, faults)


# --- the phase write-page-table -------------------------------------------------------------------


def simulated(policy: str = "lazy-drop", vcpus: int = 2, **phase: Any) -> Any:
    made = setting([{"do": "write-page-table", **phase}], vcpus=vcpus)
    return simulate(make_plan(made, policy, 1))


@pytest.mark.parametrize(
    ("phase", "outcome", "laps"),
    [
        ({}, "livelock", 16),
        ({"chain_contains_x": False}, "progress", 2),
        ({"emulatable": True}, "progress", 1),
        ({"retry_memory": "write-fault-to-sp"}, "internal-error", 1),
    ],
)
@pytest.mark.parametrize("policy", ["eager-drop", "lazy-drop"])
def test_a_phase_ends_with_its_outcome_and_an_exact_ledger(
    policy: str, phase: dict[str, Any], outcome: str, laps: int
) -> None:
    trace = simulated(policy, think="100ns", **phase)
    (measured,) = trace.phases
    assert (measured.outcome, measured.counters["laps"]) == (outcome, laps)
    assert sum(measured.ledger.values()) == measured.vcpu_ns
    assert trace.lock.acquisitions > 0
    assert trace.lock.queue_ns == trace.lock.wait_ns
    values = measure(trace).values
    assert values["progress"] == (outcome == "progress")
    assert ("faults_until_progress" in values) == (outcome == "progress")
    again = measure(trace)
    assert from_record(again.policy, again.seed, to_record(again)).story == again.story


def test_a_lap_costs_what_its_parts_cost() -> None:
    """Constant costs: lap k and lap k + 1 differ by nothing, and bystanders pay every flush."""
    names = ["c_exit", "c_entry", "c_walk_guest", "c_sp_shadow", "c_emulate", "c_flush_init"]
    costs = dict.fromkeys([*names, "c_flush_target", "c_tlb_flush"], "1us") | {
        "c_lock_section": "1us", "c_fault_slow": "4us", "c_ack": "0ns",
    }  # fmt: skip
    made = setting([{"do": "write-page-table"}], vcpus=2, costs=costs)
    (phase,) = simulate(make_plan(made, "lazy-drop", 1)).phases
    flushes = phase.counters["remote_tlb_flush"]
    assert phase.ledger["flush_exit"] == 2000 * flushes
    assert phase.ledger["flush_wait"] == 2000 * flushes
    setup_and_first_lap = 5 + 1  # shadow pages made, and one zapped
    assert phase.ledger["table_alloc"] // 1000 >= setup_and_first_lap + 15 * 2


@pytest.mark.parametrize(("expect", "outcome"), [([2, 2], "supported"), ([3, 4.5], "refuted")])
def test_a_claim_may_give_a_range_for_one_policy(expect: list[float], outcome: str) -> None:
    made = setting([{"do": "write-page-table", "chain_contains_x": False}])
    runs = [measure(simulate(make_plan(made, "lazy-drop", seed))) for seed in range(1, 11)]
    data = {"says": "?", "policy": "lazy-drop", "metric": "faults_until_progress"}
    claim = validated(data | {"expect": expect}, Claim, "test")
    assert judge(claim, made, {"lazy-drop": runs}).outcome == outcome


def test_the_story_has_the_posted_steps_in_their_order() -> None:
    story = simulated().phases[0].story
    steps = [line.partition("step ")[2].partition(":")[0] for line in story if "step " in line]
    order = ["1", "2", "3", "4", "4", "5", "5'", "6", "6", "7, goto 2", "3", "4", "5", "5'"]
    assert steps == order
    assert story[-1] == "laps 3 to 16: the same again"


def test_without_the_loop_the_story_does_not_go_back_to_step_2() -> None:
    """Negative control."""
    story = simulated(chain_contains_x=False).phases[0].story
    assert not any("goto 2" in line for line in story)


def test_policies_decide_what_becomes_of_the_large_spte() -> None:
    stories = {p: "\n".join(simulated(p).phases[0].story) for p in ("eager-drop", "lazy-drop")}
    assert "is dropped" in stories["eager-drop"]
    assert "read-only" in stories["lazy-drop"]
    assert "gfns 0..511 is dropped" not in stories["lazy-drop"]


def test_an_impossible_chain_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"table_level = 1: .* levels 2 to 3; choose one of them"):
        setting([{"do": "write-page-table", "table_level": 1}])


def test_every_key_of_the_phase_reaches_the_scenario() -> None:
    changed = WritePageTable(
        do="write-page-table", shadow_paging=False, chain_contains_x=False, large_guest_page=False,
        table_level=3, emulatable=True, writes_page_tables=False, vectoring=True,
        large_spte="retry", level_chosen="after-shadowing", self_change_check=True,
        retry_memory="write-protect-fault",
    )  # fmt: skip
    scenario = changed.scenario(LargeLeaf.DROP)
    plain = WritePageTable(do="write-page-table").scenario(LargeLeaf.READ_ONLY)
    for field in dataclasses.fields(PageTableWrite):
        if field.name != "options":
            assert getattr(scenario, field.name) != getattr(plain, field.name), field.name
    for field in dataclasses.fields(Options):
        if field.name != "max_shadow_pages":
            a, b = getattr(scenario.options, field.name), getattr(plain.options, field.name)
            assert a != b, field.name
