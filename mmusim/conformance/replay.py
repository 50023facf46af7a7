"""Replay scripts that a real kernel counted, and compare every integer.

A case is one line of JSON: a kernel, its module parameters, a slot, a script, and per step the
changes of the kernel's own statistics (KVM binary statistics). ``docs/evidence/conformance.md``
defines the format.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from mmusim.base.units import PAGE, PAGES_PER_REGION
from mmusim.config.driver import Driver
from mmusim.conformance.kernel_cases import STEP, Case
from mmusim.costs.distributions import Constant
from mmusim.costs.random_streams import Draws
from mmusim.engine import simulate
from mmusim.mmu.dirty_ring import ENTRY_BYTES
from mmusim.mmu.slot import MemSlot
from mmusim.plan.make import Plan
from mmusim.policies import Mmu, choose, kernel_named
from mmusim.trace.records import PhaseTrace
from mmusim.vocabulary import COSTS
from mmusim.workload.base import Accesses, Pattern, Uniforms
from mmusim.workload.page_pass import PagePass

THIS_MACHINE: Final = "this machine"
"""In the host of a case that ``conform --live`` has recorded."""
KEYS: Final = (
    "pf_taken", "pf_fixed", "pf_fast", "pf_spurious", "pages_4k", "pages_2m", "pages_1g", "dirty",
    "ring_fulls", "ring_entries",
)  # fmt: skip
"""The compared counters. Others depend on scheduling or on the bookkeeping of tables."""

_LOG_OPERATIONS: Final[dict[str, dict[str, Any]]] = {
    "l": {"do": "enable-logging"},
    "u": {"do": "disable-logging"},
    "g": {"do": "get-dirty-log"},
    "c": {"do": "clear-dirty-log"},
    "z": {"do": "recreate-slot"},
    "Z": {"do": "recreate-slot", "logging": False},
    "h": {"do": "harvest-ring"},
}


class Difference(NamedTuple):
    """One integer that differs from the kernel's."""

    step: int  # from 1
    op: str
    key: str
    kernel: int
    simulated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of one case."""

    number: int  # from 1, in the order of the cases
    kernel: str  # that counted
    setting: str
    script: str
    unsupported: str = ""  # why it was not run
    integers: int = 0  # how many were compared
    differences: tuple[Difference, ...] = ()
    stale: int = 0  # spurious faults that the processor's TLB caused, see `compare`

    @property
    def status(self) -> str:
        """``match``, ``differs`` or ``unsupported``."""
        return "unsupported" if self.unsupported else "differs" if self.differences else "match"


@dataclass(frozen=True, slots=True)
class OwnPages:
    """The guest's own code, tables and index array, which live in other slots."""

    gfns: tuple[int, ...]

    def length(self, pages: int) -> int:
        """One access each."""
        del pages
        return len(self.gfns)

    def accesses(self, base_gfn: int, pages: int, uniforms: Uniforms) -> Accesses:
        """Read them in turn."""
        del base_gfn, pages, uniforms
        return Accesses(np.array(self.gfns, np.int64), np.zeros(len(self.gfns), np.bool_))


def conform(cases: Iterable[Case]) -> list[Result]:
    """Replay every case and compare; the n-th case is number n."""
    return [replay(case, number) for number, case in enumerate(cases, 1)]


def by_kernel(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Return a row of totals for each kernel, oldest first."""
    rows = []
    results = list(results)
    for kernel in sorted({r.kernel for r in results}, key=lambda name: kernel_named(name).release):
        own = [r for r in results if r.kernel == kernel]
        status = Counter(r.status for r in own)
        integers = sum(r.integers for r in own)
        rows.append(
            {
                "kernel": kernel, "cases": len(own), "match": status["match"],
                "differ": status["differs"], "unsupported": status["unsupported"],
                "integers": integers, "equal": integers - sum(len(r.differences) for r in own),
                "stale_TLB": sum(r.stale for r in own),
            }
        )  # fmt: skip
    return rows


def replay(case: Case, number: int = 1, *, live: bool = False) -> Result:
    """Run one script on the engine and compare its counts with those of the kernel.

    `live`: the counts come from a machine just now, see :func:`compare`. So do those of a case that
    ``conform --live --record`` has kept.
    """
    live = live or THIS_MACHINE in case.host
    head = {
        "number": number, "kernel": case.release.name, "setting": case.setting,
        "script": " ".join(case.script),
    }  # fmt: skip
    why = case.unsupported()
    if why:
        return Result(**head, unsupported=why)  # type: ignore[arg-type]
    differences, stale = compare(case, counts(case), live=live)
    integers = len(KEYS) * len(case.script)
    return Result(**head, integers=integers, differences=tuple(differences), stale=stale)  # type: ignore[arg-type]


def compare(
    case: Case, simulated: list[dict[str, int]], *, live: bool = False
) -> tuple[list[Difference], int]:
    """Return every integer that differs, and how many faults of a live machine its TLB caused.

    When a read-only large spte becomes writable, KVM does not flush. A processor that still holds
    the old translation faults once more and finds nothing to do. The number of such pages depends
    on its TLB and differs from run to run. So with `live` the faults that are spurious on the
    machine and not in the simulator are counted apart. Faults with work to do must be equal.
    """
    differences: list[Difference] = []
    stale = 0
    rows = zip(case.script, case.steps, simulated, strict=True)
    for i, (op, kernel, mine) in enumerate(rows, 1):
        excess = int(kernel.get("pf_spurious", 0)) - mine.get("pf_spurious", 0)
        excess = excess if live and excess > 0 else 0
        stale += excess
        for key in KEYS:
            theirs = int(kernel.get(key, 0))
            if key in ("pf_taken", "pf_spurious"):
                theirs -= excess
            if theirs != mine.get(key, 0):
                differences.append(Difference(i, op, key, theirs, mine.get(key, 0)))
    return differences, stale


def counts(case: Case) -> list[dict[str, int]]:
    """Simulate a case; return the changes of the counters step by step."""
    data_pages = case.memory_mib * 256
    own = OwnPages((data_pages, data_pages + PAGES_PER_REGION))
    phases: list[dict[str, Any]] = [{"do": "read", "name": "own pages"}]
    patterns: list[Pattern | None] = [own]
    parts = []  # how many phases a step is
    got = False
    for op in case.script:
        step = STEP.fullmatch(op)
        assert step is not None
        got = got or op == "g"
        if step[1]:
            percent = step[2] or "100"
            write = step[1] == "w"
            phases.append({"do": "write" if write else "read", "pages": f"{percent}%"})
            patterns.append(PagePass(writes=write, pages=int(percent) / 100, order="permuted"))
        elif op == "c" and not got:  # with an empty bitmap
            phases.append({"do": "sleep", "time": "0ns"})
            patterns.append(None)
        else:
            phases.append(dict(_LOG_OPERATIONS[op]))
            if op == "c" and case.clear_chunk_pages:
                phases[-1]["chunk"] = f"{case.clear_chunk_pages * PAGE}B"
            patterns.append(None)
        parts.append(1)
        if op in "zZ":  # the guest maps its own pages again within the step
            phases.append({"do": "read", "name": "own pages"})
            patterns.append(own)
            parts[-1] = 2
    chosen = choose(case.policy())
    plan = Plan(
        vcpus=1,
        slot=MemSlot(0, data_pages),
        pages=data_pages + 2 * PAGES_PER_REGION,
        backing=2 if case.backing == "2m" else 1,
        chosen=chosen,
        keep_child=chosen.choices.mmu is not Mmu.TDP,
        driver=Driver.model_validate({"phases": phases}),
        patterns=tuple(patterns),
        costs=dict.fromkeys(COSTS, Constant(1.0)),
        draws=Draws(0),
        seed=0,
        ring_entries=case.dirty_ring_bytes // ENTRY_BYTES,
    )
    traces = list(simulate(plan).phases)[1:]
    return [_changes([traces.pop(0) for _ in range(count)]) for count in parts]


def _changes(phases: list[PhaseTrace]) -> dict[str, int]:
    total = {key: sum(phase.counters.get(key, 0) for phase in phases) for key in KEYS}
    dirty = phases[0].dirty
    return total if dirty is None else total | {"dirty": dirty}
