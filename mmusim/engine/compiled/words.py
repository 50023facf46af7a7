"""What the words of the processes mean in compiled code: the vocabulary of the weaver.

On the left of a rule stands what a process says, on the right what compiled code does; see
:mod:`mmusim.engine.weave.vocabulary`. Who waits, and what comes after what, is in the processes
alone. Functions on the right that compute on data are in this package.
"""

from __future__ import annotations

from typing import Any

from mmusim.engine.processes.flush import forget_taken
from mmusim.engine.processes.guest_mode import log_drained, ring_full
from mmusim.engine.processes.user_space import to_user_space
from mmusim.engine.state.vm import Vcpu
from mmusim.engine.weave import Vocabulary, in_python, parsed

TIME = """
    vm.now -> s.now
    vm.book(v, C, F, T) -> book(s, v, C, T - F)
    vm.runs(v) -> runs(s, v, 1)
    vm.rests(v) -> runs(s, v, 0)
    vm.work(N) -> work(s, N)
"""
TABLES = """
    vm.view -> s : View
    view.stat -> s.stat
    vm.tracks(G) -> tracks(s, G)
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
    walk_again(vm, v, I) -> walk_again(s, v, I)
"""
KICKS = """
    kick(vm, v) -> kick_for(s, v, me) : Ack
    acknowledge(v) -> acknowledge(s, v)
    ack.processed -> answered(s, ack)
    v.waits_for -> s.waits_for[v]
"""
YIELDS = """
    vm.spend(N) -> spend(s, me, N)
    vm.spend_on(v, C, N) -> spend_on(s, v, C, N)
    ack -> await_answer(s, me, ack)
"""
FIELDS = frozenset(
    {"accesses", "flush_requested", "flushes", "in_guest", "kicks", "left_ns", "stolen_ns"}
)
"""Attributes of a vCPU that are whole numbers of its row, of the same name."""


def vocabulary() -> Vocabulary:
    """Return the words of the processes of a vCPU."""
    words = Vocabulary(
        objects={"vm": "Vm", "v": "Vcpu", "view": "View", "ack": "Ack"},
        kinds={"Vm": "Vm", "Vcpu": "Vcpu", "int": "", "bool": ""},
        static=frozenset({"Vm", "View"}),
        attributes={"Vcpu": "s.NAME[X]"},
        known={"Vcpu": FIELDS},
    )
    for rules in (TIME, TABLES, GUEST_MODE, KICKS):
        words.extended(rules)
    for cost in Vcpu.__slots__:
        if cost.startswith("c_"):
            words.extended(f"v.{cost}.at(I) -> cost(s, v, {cost.upper()}, I)")
    words.yields += parsed(YIELDS)
    words.iterations += parsed("vm.vcpus -> s.cpus => I : Vcpu")
    words.python += [
        in_python("ring_full(vm, v)", ring_full),
        in_python("to_user_space(vm, v)", to_user_space),
        in_python("log_drained(vm, v)", _ring_overflows, "log_drained(s, v)"),
        in_python("forget_taken(vm)", _forgets_taken, "forget_taken(s)"),
    ]
    return words


def _ring_overflows(vm: Any, v: Vcpu) -> None:
    size, gfn = vm.memory.get("ring_size"), vm.memory.get("why_number")
    raise OverflowError(f"a dirty ring of {size} entries overflows at gfn {gfn}")


def _forgets_taken(vm: Any, v: Vcpu) -> None:
    """Forget what Python has noted; compiled code has forgotten what it noted itself."""
    forget_taken(vm)
