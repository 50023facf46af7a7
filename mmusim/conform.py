"""Replay scripts that a real kernel counted, and compare every integer.

A case is one line of JSON: a kernel, its module parameters, a slot, a script, and per step the
changes of the kernel's own statistics (KVM binary stats). The format: ``docs/conformance.md``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from mmusim.config.driver import Driver
from mmusim.config.host import COSTS
from mmusim.draws import Draws
from mmusim.engine import simulate
from mmusim.errors import Complaint, ConfigError
from mmusim.latency import Constant
from mmusim.mmu.slot import MemSlot
from mmusim.plan import Plan
from mmusim.policies import KERNELS, policy_named
from mmusim.trace import PhaseTrace
from mmusim.units import PAGES_PER_REGION
from mmusim.workload.base import Accesses, Pattern, Uniforms
from mmusim.workload.page_pass import PagePass

KEYS: Final = (
    "pf_taken", "pf_fixed", "pf_fast", "pf_spurious", "pages_4k", "pages_2m", "dirty",
)  # fmt: skip
"""What is compared. Other counters of a case depend on scheduling or on table bookkeeping."""

_STEP = re.compile(r"([wr])([0-9]{1,3})?|[lugcz]")
_LOG_OPERATIONS = {
    "l": "enable-logging", "u": "disable-logging", "g": "get-dirty-log",
    "c": "clear-dirty-log", "z": "recreate-slot",
}  # fmt: skip
_MANUAL = {0: "off", 1: "on", 3: "initially-all-set"}


class Difference(NamedTuple):
    """One integer that is not the kernel's."""

    step: int  # from 1
    op: str
    key: str
    kernel: int
    simulated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one case went."""

    number: int  # line of the file, from 1
    setting: str
    script: str
    unsupported: str = ""  # why it was not run
    integers: int = 0  # how many were compared
    differences: tuple[Difference, ...] = ()

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A script and what the kernel counted."""

    kernel: str
    tdp_mmu: bool
    eager_page_split: bool
    two_dimensional_paging: bool
    memory_mib: int
    backing: str
    manual_protect: int
    dirty_ring_bytes: int
    script: tuple[str, ...]
    steps: tuple[Mapping[str, Any], ...]
    host: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def setting(self) -> str:
        """MMU and slot in a few words."""
        mmu = "shadow" if not self.two_dimensional_paging else "tdp" if self.tdp_mmu else "legacy"
        log = f"ring {self.dirty_ring_bytes}B" if self.dirty_ring_bytes else _MANUAL.get(
            self.manual_protect, "?"
        )  # fmt: skip
        split = ", eager split" if self.eager_page_split else ""
        return f"{mmu}{split}, {self.memory_mib} MiB of {self.backing}, manual protect {log}"

    def unsupported(self) -> str:
        """Why this case cannot be replayed; empty if it can."""
        if self.tdp_mmu:
            return "the TDP MMU is not modelled"
        if not self.two_dimensional_paging:
            return "shadow paging is not modelled"
        if self.dirty_ring_bytes:
            return "the dirty ring is not modelled"
        return ""


def read_cases(path: Path) -> list[Case]:
    """Read a file of cases, one JSON object a line.

    Raises
    ------
    ConfigError
        With every line that is not a case.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError.of(
            str(path), "file", None, f"cannot be read ({reason})", "check path and permissions"
        ) from None
    cases: list[Case] = []
    complaints: list[Complaint] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                cases.append(_case(line, f"{path}:{number}"))
            except ConfigError as error:
                complaints += error.complaints
    if complaints:
        raise ConfigError(complaints)
    if not cases:
        raise ConfigError.of(str(path), "file", None, "holds no case", "give a file of cases")
    return cases


def _case(line: str, source: str) -> Case:
    def wrong(key: str, value: object, rule: str, remedy: str) -> ConfigError:
        return ConfigError.of(source, key, value, rule, remedy)

    try:
        data = json.loads(line)
    except json.JSONDecodeError as error:
        raise wrong("line", None, f"is not JSON: {error}", "give one object a line") from None
    kinds: dict[str, type] = {
        "kernel": str, "tdp_mmu": bool, "eager_page_split": bool, "two_dimensional_paging": bool,
        "memory_mib": int, "backing": str, "manual_protect": int, "dirty_ring_bytes": int,
        "script": list, "steps": list,
    }  # fmt: skip
    if not isinstance(data, dict):
        raise wrong("line", None, "is not a JSON object", "give one object a line")
    for key, kind in kinds.items():
        if not isinstance(data.get(key), kind):
            raise wrong(key, data.get(key), f"must be of type {kind.__name__}", "complete the case")
    if len(data["steps"]) != len(data["script"]):
        raise wrong("steps", len(data["steps"]), f"must be {len(data['script'])}", "match script")
    if data["backing"] not in ("2m", "4k"):
        raise wrong("backing", data["backing"], "must be 2m or 4k", "correct it")
    if data["manual_protect"] not in _MANUAL:
        raise wrong("manual_protect", data["manual_protect"], "must be 0, 1 or 3", "correct it")
    if data["memory_mib"] < 2 or data["memory_mib"] % 2:
        raise wrong("memory_mib", data["memory_mib"], "must be a multiple of 2", "correct it")
    for op in data["script"]:
        if not (isinstance(op, str) and (_STEP.fullmatch(op) or op == "h")):
            raise wrong("script", op, "is not a step", "use w, r, wN, rN, l, u, g, c, z or h")
    known = {key: data[key] for key in kinds}
    known["script"], known["steps"] = tuple(data["script"]), tuple(data["steps"])
    extra = {key: value for key, value in data.items() if key not in kinds and key != "host"}
    return Case(**known, host=str(data.get("host", "")), extra=extra)


def conform(cases: Iterable[Case]) -> list[Result]:
    """Replay every case and compare; the n-th case is number n."""
    return [replay(case, number) for number, case in enumerate(cases, 1)]


def replay(case: Case, number: int = 1) -> Result:
    """Run one script on the engine and compare what it counts with what the kernel counted."""
    head = {"number": number, "setting": case.setting, "script": " ".join(case.script)}
    why = case.unsupported()
    if why:
        return Result(**head, unsupported=why)  # type: ignore[arg-type]
    simulated = counts(case)
    differences = [
        Difference(i, op, key, int(kernel.get(key, 0)), mine.get(key, 0))
        for i, (op, kernel, mine) in enumerate(
            zip(case.script, case.steps, simulated, strict=True), 1
        )
        for key in KEYS
        if int(kernel.get(key, 0)) != mine.get(key, 0)
    ]
    integers = len(KEYS) * len(case.script)
    return Result(**head, integers=integers, differences=tuple(differences))  # type: ignore[arg-type]


def counts(case: Case) -> list[dict[str, int]]:
    """Simulate a case; return the changes of the counters step by step."""
    data_pages = case.memory_mib * 256
    own = OwnPages((data_pages, data_pages + PAGES_PER_REGION))
    phases: list[dict[str, Any]] = [{"do": "read", "name": "own pages"}]
    patterns: list[Pattern | None] = [own]
    parts = []  # how many phases a step is
    got = False
    for op in case.script:
        step = _STEP.fullmatch(op)
        assert step is not None
        got = got or op == "g"
        if step[1]:
            percent = step[2] or "100"
            write = step[1] == "w"
            phases.append({"do": "write" if write else "read", "pages": f"{percent}%"})
            patterns.append(PagePass(write=write, pages=int(percent) / 100, order="permuted"))
        elif op == "c" and not got:  # with an empty bitmap
            phases.append({"do": "sleep", "time": "0ns"})
            patterns.append(None)
        else:
            phases.append({"do": _LOG_OPERATIONS[op]})
            patterns.append(None)
        parts.append(1)
        if op == "z":  # the guest maps its own pages again within the step
            phases.append({"do": "read", "name": "own pages"})
            patterns.append(own)
            parts[-1] = 2
    plan = Plan(
        vcpus=1,
        slot=MemSlot(0, data_pages),
        pages=data_pages + 2 * PAGES_PER_REGION,
        huge=case.backing == "2m",
        kernel=KERNELS["linux-6.1"],
        policy=policy_named("lazy-drop"),
        keep_child=True,
        driver=Driver.model_validate(
            {"manual_protect": _MANUAL[case.manual_protect], "phases": phases}
        ),
        patterns=tuple(patterns),
        costs=dict.fromkeys(COSTS, Constant(1.0)),
        draws=Draws(0),
        seed=0,
    )
    traces = list(simulate(plan).phases)[1:]
    return [_changes([traces.pop(0) for _ in range(count)]) for count in parts]


def _changes(phases: list[PhaseTrace]) -> dict[str, int]:
    total = {key: sum(phase.counters.get(key, 0) for phase in phases) for key in KEYS}
    dirty = phases[0].dirty
    return total if dirty is None else total | {"dirty": dirty}
