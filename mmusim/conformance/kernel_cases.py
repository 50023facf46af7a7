"""Scripts that a real kernel counted, one JSON object a line: ``docs/conformance.md``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mmusim.base.errors import Complaint, ConfigError
from mmusim.policies import Kernel, Mmu

MANUAL: Final = {0: "get-clears", 1: "manual-clear", 3: "init-all-set"}
"""Argument of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 -> the policy that stands for it."""
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
    pml: bool = False  # the processor logs writes; not in cases from before it was recorded
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def setting(self) -> str:
        """MMU and slot in a few words."""
        log = (
            f"ring {self.dirty_ring_bytes}B" if self.dirty_ring_bytes else str(self.manual_protect)
        )
        split = ", eager split" if self.eager_page_split else ""
        memory = f"{self.memory_mib} MiB of {self.backing}"
        return f"{self.mmu.value}{split}, {memory}, manual protect {log}"

    @property
    def release(self) -> Kernel:
        """The kernel that counted."""
        version = re.search(r"(\d+)\.(\d+)", self.kernel)
        assert version is not None, "checked when read"
        return Kernel((int(version[1]), int(version[2])))

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
        """Why this case cannot be replayed; empty if it can."""
        asks = {"g", "c"} & set(self.script) if self.dirty_ring_bytes else {"h"} & set(self.script)
        if asks:
            return f"step {min(asks)} does not exist with this way of reporting"
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


def as_line(case: Case) -> str:
    """Write a case as a line of such a file."""
    fields = (
        "kernel", "host", "tdp_mmu", "eager_page_split", "two_dimensional_paging", "memory_mib",
        "backing", "manual_protect", "dirty_ring_bytes", "pml",
    )  # fmt: skip
    data = {key: getattr(case, key) for key in fields}
    data |= {"script": list(case.script), "steps": [dict(step) for step in case.steps]}
    return json.dumps(data | dict(case.extra)) + "\n"


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
    if data["manual_protect"] not in MANUAL:
        raise wrong("manual_protect", data["manual_protect"], "must be 0, 1 or 3", "correct it")
    if data["memory_mib"] < 2 or data["memory_mib"] % 2:
        raise wrong("memory_mib", data["memory_mib"], "must be a multiple of 2", "correct it")
    if not re.search(r"\d+\.\d+", data["kernel"]):
        raise wrong("kernel", data["kernel"], "names no release", "write e.g. Linux 6.1.0")
    ring = data["dirty_ring_bytes"]
    if ring and (ring & (ring - 1) or ring < 4096):
        raise wrong("dirty_ring_bytes", ring, "must be 0 or a power of two from 4096", "correct it")
    for op in data["script"]:
        if not (isinstance(op, str) and (STEP.fullmatch(op))):
            raise wrong("script", op, "is not a step", "use w, r, wN, rN, l, u, g, c, z, Z or h")
    known = {key: data[key] for key in kinds}
    known["script"], known["steps"] = tuple(data["script"]), tuple(data["steps"])
    extra = {key: value for key, value in data.items() if key not in kinds}
    host, pml = str(extra.pop("host", "")), extra.pop("pml", False) is True
    return Case(**known, host=host, pml=pml, extra=extra)
