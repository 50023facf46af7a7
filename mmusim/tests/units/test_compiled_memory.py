"""What compiled code takes for granted about the memory of a run."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from llvmlite import ir

from mmusim.engine.choice import COMPILED
from mmusim.engine.compiled.fields import ARRAYS, FAULT_PATH, FIXED, LAST, LINE, VCPU
from mmusim.engine.compiled.joint_compilation import leave_results_unset
from mmusim.engine.compiled.memory import Memory
from mmusim.engine.simulate import Simulation
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import setting


def shared(memory: Any) -> list[tuple[str, str]]:
    """Names of arrays, scalars and rows of vCPUs that share memory."""
    held = {name: memory[name] for name in ARRAYS} | {
        "scalars": memory.scalars, "vcpus": memory.vcpus,
    }  # fmt: skip
    return [(a, b) for a, b in combinations(held, 2) if np.may_share_memory(held[a], held[b])]


@pytest.mark.parametrize("policy", ["eager-drop", "linux-6.13+pml", "linux-6.13+dirty-ring"])
def test_no_array_of_a_run_shares_memory_with_another(policy: str) -> None:
    """LLVM is told so: a store to one does not make it load another again."""
    kernel = "linux-6.13" if "linux" in policy else "linux-4.15"
    phases = [{"do": "write"}, {"do": "enable-logging"}, {"do": "write"}]
    run = setting(phases, vcpus=2, vm={"kernel": kernel}, policies={"baseline": policy})
    simulation = Simulation(make_plan(run, policy, 1), engine=COMPILED)
    simulation.run()
    vm: Any = simulation._vm
    assert shared(vm.memory) == []


def test_arrays_that_share_memory_are_found() -> None:
    """Negative control."""
    memory = Memory(1)
    memory.put("page", memory.put("resident", np.zeros(8, np.uint8))[4:])
    assert shared(memory) == [("page", "resident")]


@pytest.mark.parametrize("name", LAST)
def test_rows_of_another_length_are_refused(name: str) -> None:
    """Their length is part of the compiled code."""
    dtype, dimensions = ARRAYS[name]
    array = np.zeros((1,) * (dimensions - 1) + (LAST[name] + 1,), dtype)
    with pytest.raises(TypeError, match=f"rows of {name} have {LAST[name] + 1} elements"):
        Memory(1).put(name, array)
    Memory(1).put(name, np.ascontiguousarray(array[..., :-1]))


def test_what_is_fixed_is_an_array() -> None:
    assert set(ARRAYS) >= FIXED


def stores(callee: str) -> list[Any]:
    """Values that are stored in a function that calls another, as Numba writes it."""
    word = ir.IntType(64)
    module = ir.Module()
    called = ir.Function(module, ir.FunctionType(word, [word.as_pointer()]), callee)
    caller = ir.Function(module, ir.FunctionType(word, []), "caller")
    builder = ir.IRBuilder(caller.append_basic_block())
    result, other = builder.alloca(word), builder.alloca(word)
    builder.store(word(0), result)
    builder.store(word(7), other)
    builder.call(called, [result])
    builder.ret(builder.add(builder.load(result), builder.load(other)))
    leave_results_unset(caller)
    return [
        one.operands[0].constant for one in caller.blocks[0].instructions
        if isinstance(one, ir.StoreInstr)
    ]  # fmt: skip


def test_only_zeros_of_results_are_left_out() -> None:
    """What a compiled function returns is not zeroed before; anything else is stored."""
    assert stores("_ZN6mmusim1f") == [7]
    assert stores("memset") == [0, 7]


def test_fields_of_the_fault_path_come_first_in_rows_of_whole_lines() -> None:
    """A name that no field has would move nothing; each field stands once."""
    assert VCPU[: len(FAULT_PATH)] == FAULT_PATH
    assert len(set(VCPU)) == len(VCPU)
    assert len(VCPU) % LINE == 0
    for vcpus in (1, 3):
        rows = Memory(vcpus).vcpus
        assert rows.shape == (vcpus, len(VCPU))
        assert not rows.any()
        assert rows.ctypes.data % (LINE * rows.itemsize) == 0
