"""The vocabulary of the process of interference: its words in compiled code.

A source of interference has its own row, because it may still sleep when its program is over and
the next one has begun.
"""

from __future__ import annotations

from mmusim.engine.weave import Vocabulary, parsed

RULES = """
    vm.now -> s.now
    only_interference_is_left(vm) -> s.heap_n < s.interferers
    vm.interferers -> s.interferers
    gaps_of(vm, v, N) -> stream_of(v, INTERFERENCE_STREAMS + 2 * N) : Stream
    lengths_of(vm, v, N) -> stream_of(v, INTERFERENCE_STREAMS + 2 * N + 1) : Stream
    stream.at(I) -> drawn_from(s, stream, I)
    v.interrupted[N] -> s.stolen_times[v, N]
    v.process -> program_of(s, v) : Program
    v.process is not program -> program_of(s, v) != program
    program is not None -> True
    program.is_alive -> is_alive(s, program)
    kick(vm, v) -> kick(s, v)
"""
YIELDS = "vm.spend(N) -> sleep(s, me, N)"
OBJECTS = {"vm": "Vm", "v": "Vcpu", "stream": "Stream", "program": "Program"}
KINDS = {"Vm": "Vm", "Vcpu": "Vcpu", "int": ""}


def of_interference() -> Vocabulary:
    """Return the vocabulary with which the process of interference is woven."""
    words = Vocabulary(
        objects=OBJECTS,
        kinds=KINDS,
        static=frozenset({"Vm"}),
        attributes={"Vcpu": "s.NAME[X]"},
        known={"Vcpu": frozenset({"halted", "in_guest", "stolen_ns", "taken_until_ns"})},
        place="interferer_at",
        of_its_own=True,
    )
    words.extended(RULES)
    words.yields += parsed(YIELDS)
    return words
