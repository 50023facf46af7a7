"""Scripts with the counts of a real kernel, one JSON object per line:
``docs/evidence/conformance.md``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from mmusim.base.errors import Complaint, ConfigError, MisfitError
from mmusim.base.parsing import json_lines, parse_json
from mmusim.mmu.dirty_ring import ENTRY_BYTES, MAX_ENTRIES, reserve
from mmusim.policies import Kernel, Mmu, choose

MANUAL: Final = {0: "get-clears", 1: "manual-clear", 3: "initially-all-set"}
"""Argument of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 -> the policy that represents it."""
MOST_MIB: Final = 4_096
"""Recorded scripts have some 20 MiB; a replay touches every page in each step."""
MOST_STEPS: Final = 1_000
LEAST_RING, MOST_RING = 4096, MAX_ENTRIES * ENTRY_BYTES
RELEASE: Final = re.compile(r"2\.6\.\d{1,3}|\d{1,3}\.\d{1,3}")
"""A release has two numbers, and three in the old scheme; what follows is an update of it."""
STEP: Final = re.compile(r"([wr])([0-9]{1,3})?|[lugczZh]")


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
    clear_chunk_pages: int = 0  # of each clear of a step c; 0: all at once
    pml: bool = False  # the processor logs writes; not in cases from before it was recorded
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def setting(self) -> str:
        """MMU and slot in a few words."""
        ring = f"dirty ring of {self.dirty_ring_bytes:,} bytes"
        log = ring if self.dirty_ring_bytes else f"manual protect {self.manual_protect}"
        split = ", eager split" if self.eager_page_split else ""
        memory = f"{self.memory_mib} MiB of {self.backing}"
        return f"{self.mmu.value}{split}, {memory}, {log}"

    @property
    def release(self) -> Kernel:
        """The kernel that counted."""
        version = RELEASE.search(self.kernel)
        assert version is not None, "checked when read"
        return Kernel(tuple(map(int, version[0].split("."))))

    @property
    def mmu(self) -> Mmu:
        """The MMU that the module parameters choose."""
        if not self.two_dimensional_paging:
            return Mmu.SHADOW
        return Mmu.TDP if self.tdp_mmu else Mmu.LEGACY

    def policy(self) -> str:
        """The policy that this kernel has with these module parameters and capabilities."""
        kernel, mmu = self.release, self.mmu
        name = f"{kernel.name}+{mmu.value}"
        name += "+dirty-ring" if self.dirty_ring_bytes else f"+{MANUAL[self.manual_protect]}"
        if mmu is Mmu.TDP and not self.eager_page_split:
            name += "+split-on-fault" if kernel.splits_on_fault(mmu) else "+lazy-drop"
        return name + "+pml" * (self.pml and mmu is not Mmu.SHADOW)

    def unsupported(self) -> str:
        """Return why this case cannot be replayed; empty if it can."""
        asks = {"g", "c"} & set(self.script) if self.dirty_ring_bytes else {"h"} & set(self.script)
        if asks:
            return f"step {min(asks)} does not exist with this way of reporting"
        entries = self.dirty_ring_bytes // ENTRY_BYTES
        kept_free = reserve(self.pml and self.mmu is not Mmu.SHADOW)
        if 0 < entries < kept_free:
            return f"a ring of {entries} entries is refused: the kernel keeps {kept_free} free"
        if self.mmu is Mmu.TDP and self.release.release < (5, 10):
            return "the TDP MMU came in Linux 5.10"
        return ""


def read_cases(path: Path) -> list[Case]:
    """Read a file of cases, one JSON object a line.

    Raises
    ------
    ConfigError
        With every line that is not a case.
    """
    cases: list[Case] = []
    complaints: list[Complaint] = []
    for number, line in json_lines(path):
        try:
            cases.append(_case(line, f"{path}:{number}"))
        except ConfigError as error:
            complaints += error.complaints
    if complaints:
        raise ConfigError(complaints)
    if not cases:
        raise ConfigError.of(str(path), "file", None, "holds no case", "give a file of cases")
    return cases


def as_line(case: Case) -> str:
    """Write a case as a line of such a file."""
    fields = (
        "kernel", "host", "tdp_mmu", "eager_page_split", "two_dimensional_paging", "memory_mib",
        "backing", "manual_protect", "dirty_ring_bytes", "pml",
    )  # fmt: skip
    data = {key: getattr(case, key) for key in fields}
    if case.clear_chunk_pages:
        data["clear_chunk_pages"] = case.clear_chunk_pages
    data |= {"script": list(case.script), "steps": [dict(step) for step in case.steps]}
    return json.dumps(data | dict(case.extra)) + "\n"


KINDS: Final[Mapping[str, type]] = {
    "kernel": str, "tdp_mmu": bool, "eager_page_split": bool, "two_dimensional_paging": bool,
    "memory_mib": int, "backing": str, "manual_protect": int, "dirty_ring_bytes": int,
    "script": list, "steps": list,
}  # fmt: skip


def _case(line: str, source: str) -> Case:
    data = parse_json(line, source, "line")
    if not isinstance(data, dict):
        raise ConfigError.of(source, "line", None, "is not a JSON object", "give one object a line")
    wrong = [
        Complaint(source, key, data.get(key), f"must be of type {kind.__name__}", "complete it")
        for key, kind in KINDS.items()
        if type(data.get(key)) is not kind  # True is no number here
    ]
    if not wrong:
        wrong = [Complaint(source, *found) for found in _wrong(data)]
    if wrong:
        raise ConfigError(wrong)
    known = {key: data[key] for key in KINDS}
    known["script"], known["steps"] = tuple(data["script"]), tuple(data["steps"])
    extra = {key: value for key, value in data.items() if key not in KINDS}
    host, pml = str(extra.pop("host", "")), extra.pop("pml", False) is True
    chunk = extra.pop("clear_chunk_pages", 0)
    case = Case(**known, host=host, pml=pml, clear_chunk_pages=chunk, extra=extra)
    if not case.unsupported():
        _check_policy(case, source)
    return case


def _wrong(data: Mapping[str, Any]) -> Iterator[tuple[str, object, str, str]]:
    """Yield key, value, rule and remedy of everything impossible, in data of the right types."""
    if data["backing"] not in ("2m", "4k"):
        yield "backing", data["backing"], "must be 2m or 4k", "correct it"
    if data["manual_protect"] not in MANUAL:
        yield "manual_protect", data["manual_protect"], "must be 0, 1 or 3", "correct it"
    if data["memory_mib"] % 2 or not 2 <= data["memory_mib"] <= MOST_MIB:
        rule = f"must be a multiple of 2 from 2 to {MOST_MIB}"
        yield "memory_mib", data["memory_mib"], rule, "correct it"
    if not RELEASE.search(data["kernel"]):
        yield "kernel", data["kernel"], "names no release", "write e.g. Linux 6.1.0"
    ring = data["dirty_ring_bytes"]
    if ring and (ring & (ring - 1) or not LEAST_RING <= ring <= MOST_RING):
        rule = f"must be 0 or a power of two from {LEAST_RING} to {MOST_RING}"
        yield "dirty_ring_bytes", ring, rule, "correct it"
    chunk = data.get("clear_chunk_pages", 0)
    if type(chunk) is not int or chunk % 64 or not 0 <= chunk <= MOST_MIB * 256:
        rule = f"must be a multiple of 64 up to {MOST_MIB * 256}"
        yield "clear_chunk_pages", chunk, rule, "correct it"
    script, steps = data["script"], data["steps"]
    if len(script) > MOST_STEPS:
        yield "script", len(script), f"has more than {MOST_STEPS} steps", "split it"
    if len(steps) != len(script):
        yield "steps", len(steps), f"must be {len(script)}", "match script"
    yield from _wrong_script(script)
    for number, step in enumerate(steps, 1):
        if not isinstance(step, dict):
            yield f"steps[{number}]", step, "must be an object of counters", "complete it"
            continue
        for name, count in step.items():
            if name != "op" and type(count) is not int:
                yield f"steps[{number}].{name}", count, "must be a whole number", "correct it"


def _wrong_script(script: Sequence[object]) -> Iterator[tuple[str, object, str, str]]:
    logging = False
    for number, op in enumerate(script, 1):
        step = STEP.fullmatch(op) if isinstance(op, str) else None
        if step is None:
            yield "script", op, "is not a step", "use w, r, wN, rN, l, u, g, c, z, Z or h"
        elif step[2] and not 1 <= int(step[2]) <= 100:
            yield "script", op, "touches no share of memory", "write a percentage from 1 to 100"
        elif op in ("g", "c") and not logging:
            yield f"script[{number}]", op, "needs logging", "put l or z before it"
        elif op in ("l", "z"):
            logging = True
        elif op in ("u", "Z"):
            logging = False


def _check_policy(case: Case, source: str) -> None:
    """Compare the setting with the features of its kernel."""
    try:
        choose(case.policy())
    except ConfigError as error:
        raise ConfigError([replace(one, source=source) for one in error.complaints]) from None
    except MisfitError as misfit:
        raise misfit.complaint(source) from None
