"""The vocabulary of the weaver: the words of the processes, and their meaning in compiled code.

The left side of a rule is the text of a process, the right side that of compiled code; see
:mod:`mmusim.engine.weave.vocabulary`. Only the processes say who waits and in which order things
happen. Functions on the right side that compute on data are in this package.
"""

from __future__ import annotations

from typing import Any

from mmusim.engine.processes.entries import count_reads_before_drop
from mmusim.engine.processes.flush import forget_taken
from mmusim.engine.processes.guest_mode import leave_handler, ring_full
from mmusim.engine.processes.shared_processor import leave_processor, on_processor, reschedule
from mmusim.engine.processes.user_space import to_user_space
from mmusim.engine.processes.vcpu import no_progress
from mmusim.engine.state.vm import Steps, Vcpu
from mmusim.engine.weave import Vocabulary, in_python, parsed

TIME = """
    vm.now -> s.now
    vm.charge(v, C, F, T) -> charge(s, v, C, T - F)
    vm.runs(v) -> runs(s, v, 1)
    vm.rests(v) -> runs(s, v, 0)
    vm.work(N) -> work(s, N)
"""
TABLES = """
    vm.view -> s : View
    view.stat -> s.stat
    view.page -> s.page
    view.region -> s.region
    view.giant -> s.giant
    vm.tracks(G) -> tracks(s, G)
    leaf(view, G) -> leaf(s, G)
    permits(view, G, W) -> permits(s, G, W != 0)
    target_level(view, G, T, vm.plan.backing) -> target_level(s, G, T != 0, s.backing)
    lacks_tables(view, G, L) * v.c_alloc_table.at(I) -> alloc_ns(s, v, G, L, I)
    mmu.fix_lockless(view, G, L, T) -> fix_lockless(s, G, L, T != 0)
    mmu.link_tables(view, G, L) -> link(s, G, L)
    mmu.map_large(view, G, L, vm.plan.keep_child, B) -> map_large(s, G, L, s.keep_child != 0, B)
    mmu.map_small(view, G, T, B) -> map_small(s, G, T != 0, B)
    mmu.prefetch_small(view, G, vm.resident, B) -> prefetch_small(s, G, s.resident, B)
    mmu.drop_large(view, G, L) -> drop(s, G, L)
    mmu.split_large(view, G, L) -> split(s, G, L)
    vm.plan.backing -> s.backing
    len(vm.resident) -> len(s.resident)
    vm.resident[G] -> s.resident[G]
    len(vm.held) -> len(s.held)
    vm.held[G] -> s.held[G]
    make_resident(vm, G) -> make_resident(s, G)
    vm.guest is not None -> s.guest_shift != 0
    vm.guest.walk(view, G, W) -> walk_guest(s, G, W)
    vm.upper is not None -> s.has_upper != 0
    vm.upper.region[N] -> s.upper.region[N]
    vm.upper.had_large -> s.upper.had_large
    armed(vm.upper, G) -> armed(s.upper, G)
    push_down(vm.upper, view, G) -> push_down(s.upper, s, G)
    vm.plan.policy.protects_root -> s.protects_root
    vm.plan.policy.protects_tables -> s.protects_tables
    R in vm.nx_small -> is_nx_small(s, R)
    vm.nx_small.discard(R) -> grows_large(s, R)
    vm.frozen -> s.frozen_n
    frozen(vm, G) -> frozen(s, G)
    vm.freeze(L, N, on=True) -> freeze(s, L, N, 1)
    vm.freeze(L, N, on=False) -> freeze(s, L, N, 0)
    vm.revoke(under(vm, G, L), NO_ENTRIES) -> revoke(s, first_under(G, L), end_under(s, G, L), 0, 0)
    vm.revoke(NO_ENTRIES, regions_under(vm, G, L)) -> revoke_regions(s, 0, G, L)
    vm.revoke(under(vm, G, L), regions_under(vm, G, L)) -> revoke_regions(s, 1, G, L)
"""
PROGRAMS = """
    way_through(vm, v, program, vm.now) -> me : Run
    leave_program(v) -> me : Run
    v.run -> me : Run
    v.begin(vm.now) -> begin(s, v)
    v.number -> v
    vm.fingerprint.add(A, B, C) -> note_three(s, A, B, C)
    vm.fingerprint.add(A, B, C, D) -> note_four(s, A, B, C, D)
    vm.probe is not None -> s.has_probe != 0
"""
RUNS = """
    run.access -> access_at(s, run)
    run.index -> s.first[run] + s.k[run]
    run.k -> s.k[run]
    run.halts_until -> halts_until(s, run)
    run.length -> s.length[run]
    run.count -> s.count[run]
    run.total_ns -> s.total_ns[run]
    run.plan() -> plan_run(s, run)
    run.plan_logged() -> plan_logged_write(s, run)
    run.begin() -> begin_run(s, run)
    run.cut(N) -> cut(s, run, N)
    run.shorten(N) -> shorten(s, run, N)
    run.commit(N, T) -> commit_run(s, run, N, T)
    run.faulted(vm.now) -> faulted(s, run)
    interrupt.cause == REPLAN -> interrupt == REPLAN
"""
FAULTS = """
    vm.fast_faults -> s.fast_faults
    vm.policy.fast_path[T][L][A] -> s.fast_path[whole(T), whole(L), A]
    vm.policy.blocked == Edit.SPLIT -> s.blocked_splits != 0
    vm.plan.kernel.fast_fault_at_target_level_only() -> s.fast_at_target_only
    vm.slow.locked -> s.reals[SLOW_LOCKED]
    vm.slow.restored -> s.reals[SLOW_RESTORED]
    vm.slow.entry -> s.reals[SLOW_ENTRY]
    vm.slow.after_exit -> s.reals[SLOW_AFTER_EXIT]
    vm.fast.entry -> s.reals[FAST_ENTRY]
    vm.fast.after_exit -> s.reals[FAST_AFTER_EXIT]
    vm.plan.costs["c_wclear"].mean() -> s.reals[PUSH_DOWN]
    vm.user_faults is not None -> s.user_faults != 0
    vm.user_faults is None -> s.user_faults == 0
    vm.first_touch is not None -> s.touches != 0
    vm.first_touch.waits(N) -> memory_waits(s, N)
"""
LOCK = """
    v is not None -> True
    vm.tdp -> s.is_tdp
    vm.shares -> s.shares
    vm.lock.acquire(v.number, shared=vm.tdp) -> queues(s, v, s.is_tdp) : Grant
    queued is not None -> queued
    vm.lock.release(v.number) -> release(s, v)
    vm.lock.count_readers() -> count_readers(s)
    vm.waited(S, N) -> tally(s, WAITS_EXCLUSIVE + S, N)
"""
GUEST_MODE = """
    v.ring is not None -> s.ring_size != 0
    v.ring.soft_full() -> s.ring_n[v] >= s.ring_soft
    v.queued_work -> s.queued_work[v]
    v.pml -> s.pml_n[v]
    len(v.pml) -> s.pml_n[v]
    v.flushes_tlb() -> flushes_tlb(s, v)
    vm.in_guest_again(v) -> in_guest_again(s, v)
    vm.left_guest(v) -> left_guest(s, v)
    vm.halts(v) -> halts(s, v)
    vm.wakes(v) -> wakes(s, v)
    vm.plan.halt_poll_ns -> s.halt_poll_ns
    v.count_exit() -> count_exit(s, v)
    walk_again(vm, v, I) -> walk_again(s, v, I)
"""
KICKS = """
    kick(vm, v) -> kick_for(s, v, me) : Ack
    kick_entering(vm, v) -> kick_entering(s, v, me) : Ack
    vm.in_flight_ns -> s.in_flight_ns
    replan(vm, v) -> replan(s, v)
    acknowledge(v) -> acknowledge(s, v)
    ack.processed -> answered(s, ack)
    v.waits_for -> s.waits_for[v]
"""
YIELDS = """
    vm.spend(N) -> spend(s, me, N)
    vm.spend_on(v, C, N) -> spend_on(s, v, C, N)
    vm.spend_in_guest(N, v) -> spend_in_guest(s, v, N)
    ack -> await_answer(s, me, ack)
    queued -> await_grant(s, me) => s.is_tdp and s.shareable
"""
OBJECTS = {
    "vm": "Vm", "v": "Vcpu", "run": "Run", "view": "View", "ack": "Ack", "queued": "Grant",
    "program": "Program", "laps": "Laps", "interrupt": "interrupt",
}  # fmt: skip
"""Names on the left of rules, and what each stands for."""
KINDS = {
    "Vm": "Vm", "Vcpu": "Vcpu", "Vcpu | None": "Vcpu", "GuestRun | RateRun": "Run",
    "simpy.Event": "Grant", "Program": "Program", "Iterator[Program]": "Laps", "int": "",
    "bool": "",
}  # fmt: skip
"""Annotations of parameters of the processes, and what each stands for."""
FIELDS = (
    "accesses entering_ns flush_requested flushes handling in_guest kicks leaving_ns left_ns "
    "need_resched shares_processor stolen_ns turned_back"
)
"""Attributes of a vCPU that are whole numbers of its row, of the same name."""


def vocabulary() -> Vocabulary:
    """Return the vocabulary with which the processes of a vCPU are woven."""
    words = Vocabulary(
        objects=OBJECTS,
        kinds=KINDS,
        static=frozenset({"Vm", "View", "Run", "Program", "Laps"}),
        attributes={"Vcpu": "s.NAME[X]"},
        known={"Vcpu": frozenset(FIELDS.split())},
    )
    for rules in (TIME, TABLES, GUEST_MODE, KICKS, PROGRAMS, RUNS, FAULTS, LOCK):
        words.extended(rules)
    for cost in Vcpu.__slots__:
        if cost.startswith("c_") or cost == "t_pass":
            words.extended(f"v.{cost}.at(I) -> cost(s, v, {cost.upper()}, I)")
    words.yields += parsed(YIELDS)
    words.iterations += parsed("vm.vcpus -> s.cpus => I : Vcpu")
    words.python += [
        in_python("ring_full(vm, v)", ring_full),
        in_python("to_user_space(vm, v)", to_user_space),
        in_python("reschedule(vm, v)", reschedule),
        in_python("leave_processor(vm, v)", leave_processor),
        in_python("on_processor(vm, v)", on_processor),
        in_python("log_drained(vm, v)", _ring_overflows, "log_drained(s, v)"),
        in_python("forget_taken(vm)", _forgets_taken, "forget_taken(s)"),
        in_python("vm.mark_dirty(v, G)", _ring_overflows, "mark_dirty(s, v, G)"),
        in_python("begin_lap(vm, v, laps)", _begins_lap),
        in_python("end_program(vm, v, L)", _ends_program),
        in_python("no_progress(vm, v, *run.access)", _no_progress, returns=False),
        in_python("vm.changed(v.number)", _changed, "knows(s)"),
        in_python("leave_handler(v)", _leaves_handler, "leave_handler(s, v)"),
        in_python("vm.user_faults.fault(v, G, W, I)", _asks_user_space),
        in_python(
            "count_reads_before_drop(vm, v, G, L)", count_reads_before_drop, "counts_none(s, v)"
        ),
    ]
    return words


def _begins_lap(vm: Any, v: Any) -> bool:
    program = next(v.laps, None)
    if program is not None:
        v.load(program, vm.now if v.last_due is None else v.last_due)
    return program is not None


def _ends_program(vm: Any, v: Any, length: int) -> None:
    v.end_program(vm.now)
    vm.fingerprint.add(vm.now, v.number, length)


def _no_progress(vm: Any, v: Any) -> Exception:
    return no_progress(vm, v, *v.access())


def _changed(vm: Any, v: Vcpu) -> None:
    vm.changed(v.number)


def _asks_user_space(vm: Any, v: Vcpu, gfn: int, write: int, index: int) -> Steps:
    steps: Steps = vm.user_faults.fault(v, gfn, bool(write), index)
    return steps


def _leaves_handler(vm: Any, v: Vcpu) -> None:
    leave_handler(v)


def _ring_overflows(vm: Any, v: Vcpu, *gfn: int) -> None:
    size, overflows_at = vm.memory.get("ring_size"), vm.memory.get("why_number")
    raise OverflowError(f"a dirty ring of {size} entries overflows at gfn {overflows_at}")


def _forgets_taken(vm: Any, v: Vcpu) -> None:
    """Forget what Python has noted; compiled code has forgotten what it noted itself."""
    forget_taken(vm)
