"""Run conformance scripts on this machine and count what its kernel counts.

Scripts, orders and counters are those of the recorded cases (``docs/evidence/conformance.md``). The
result is a :class:`mmusim.conformance.kernel_cases.Case`, which the simulator replays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import numpy as np

from mmusim.base.errors import ConfigError
from mmusim.base.units import BYTES
from mmusim.conformance.kernel_cases import STEP, Case
from mmusim.kvm.machine import Machine, this_machine
from mmusim.kvm.stats_fd import Statistics
from mmusim.kvm.vcpu import Vcpu
from mmusim.kvm.vm import Vm, count_bits
from mmusim.workload.page_pass import permutation

KEPT: Final = ("pf_taken", "pf_fixed", "pf_fast", "pf_spurious", "pages_4k", "pages_2m", "pages_1g")


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the slot it runs on."""

    memory_mib: int
    backing: str  # 2m or 4k
    manual_protect: int
    dirty_ring_bytes: int
    steps: tuple[str, ...]


def parse_script(line: str) -> Script:
    """Read ``MIB,MANUAL,RING_BYTES,STEP,STEP,...``; an ``n`` before MIB is backing by 4 KiB."""
    mib, manual, ring, *steps = line.strip().split(",")
    assert all(STEP.fullmatch(step) for step in steps), line
    backing = "4k" if mib.startswith("n") else "2m"
    return Script(int(mib.removeprefix("n")), backing, int(manual), int(ring), tuple(steps))


def shipped_scripts() -> list[Script]:
    """Return the scripts that come with mmusim: every step after every other, in each setting."""
    text = (files("mmusim.kvm") / "scripts.txt").read_text(encoding="utf-8")
    return [parse_script(line) for line in text.splitlines() if line and line[0] != "#"]


def scripts_of(cases: Iterable[Case]) -> list[Script]:
    """Return the scripts of recorded cases, each once."""
    found = (
        Script(c.memory_mib, c.backing, c.manual_protect, c.dirty_ring_bytes, c.script)
        for c in cases
        if not c.unsupported()
    )
    return list(dict.fromkeys(found))


def random_scripts(count: int, seed: int) -> Iterator[Script]:
    """Make random scripts: 5 to 10 steps that the way of reporting has, on 4 to 16 MiB.

    A script reads the log only while the slot logs; the kernel refuses it otherwise.
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        ring = int(rng.choice([0, 0, 0, 16384, 32768]))
        manual = 0 if ring else int(rng.choice([0, 0, 1, 3]))
        steps = [str(rng.choice(["w", "r", "w30", "r70"])), "l"]
        logs = True
        for _ in range(int(rng.integers(3, 9))):
            if rng.random() < 0.55:
                share = str(rng.integers(1, 99)) if rng.random() < 0.5 else ""
                steps.append(str(rng.choice(["w", "r"])) + share)
                continue
            asks = ["h"] if ring else ["g", "g", "c"] if manual else ["g"]
            op = str(rng.choice([*asks, "u", "z", "Z"] if logs else ["l", "z"]))
            logs = op in "lz" or (logs and op not in "uZ")
            steps.append(op)
        backing = str(rng.choice(["2m", "2m", "4k"]))
        yield Script(int(rng.choice([4, 8, 16])), backing, manual, ring, tuple(steps))


def run_script(script: Script, machine: Machine | None = None) -> Case:
    """Run one script on this machine's KVM and return it as a case.

    Raises
    ------
    ConfigError
        If KVM cannot be used here, or lacks what the script needs.
    """
    machine = machine or this_machine()
    pages = script.memory_mib * BYTES["MiB"] // 4096
    order = permutation(pages)
    with Vm(
        script.memory_mib * BYTES["MiB"], pages,
        huge=script.backing == "2m", manual=script.manual_protect,
        ring_bytes=script.dirty_ring_bytes,
    ) as vm:  # fmt: skip
        v = Vcpu(vm, 0)
        try:
            steps = _Steps(vm, v, order)
            recorded = tuple(steps.do(op) for op in script.steps)
            steps.own.close()
        finally:
            v.close()
    return Case(
        kernel=machine.kernel, tdp_mmu=machine.tdp_mmu,
        eager_page_split=machine.eager_page_split,
        two_dimensional_paging=machine.two_dimensional_paging, memory_mib=script.memory_mib,
        backing=script.backing, manual_protect=script.manual_protect,
        dirty_ring_bytes=script.dirty_ring_bytes, script=script.steps, steps=recorded,
        host="/dev/kvm of this machine",
        pml=machine.pml,
    )  # fmt: skip


class _Steps:
    """The host of one script."""

    def __init__(self, vm: Vm, v: Vcpu, order: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        self.vm, self.v, self.order = vm, v, order
        self.bits = vm.bitmap()
        self.own = Statistics(v.fd)
        self.fulls = self.entries = 0
        v.touch_own()

    def do(self, op: str) -> dict[str, Any]:
        """Do one step and return what changed."""
        before = self._counters()
        self.fulls = self.entries = 0
        dirty = self._act(op)
        now = self._counters()
        changed: dict[str, Any] = {"op": op}
        changed |= {key: now[key] - before[key] for key in KEPT if now[key] != before[key]}
        if dirty is not None and dirty:
            changed["dirty"] = dirty
        if self.fulls:
            changed["ring_fulls"] = self.fulls
        if self.entries:
            changed["ring_entries"] = self.entries
        return changed

    def _act(self, op: str) -> int | None:
        vm, v = self.vm, self.v
        if op[0] in "wr":
            count = len(self.order) * int(op[1:] or 100) // 100
            gfns = self.order[:count]
            if count:
                v.access(
                    gfns, np.full(count, op[0] == "w"), timed=False, when_full=self._full
                )  # fmt: skip
        elif op in "lu":
            vm.log(op == "l")
        elif op in "zZ":
            vm.recreate(logging=op == "z")
            v.touch_own()
        elif op in "gc":
            try:
                if op == "g":
                    vm.get_dirty(self.bits)
                    return count_bits(self.bits)
                vm.clear_dirty(self.bits, 0, vm.pages)
            except OSError as error:
                raise ConfigError.of(
                    "script", op, None, f"is refused by the kernel ({error.strerror})",
                    "ask for the log while the slot logs, and clear with manual protect only",
                ) from None  # fmt: skip
        elif op == "h":
            return self._harvest()
        return None

    def _full(self) -> None:
        self.fulls += 1
        self._harvest()

    def _harvest(self) -> int:
        count = self.v.harvest()
        if count:
            self.vm.reset_rings()
        self.entries += count
        return count

    def _counters(self) -> dict[str, int]:
        both = self.vm.statistics.read() | self.own.read()
        return {key: both.get(key, 0) for key in KEPT}
