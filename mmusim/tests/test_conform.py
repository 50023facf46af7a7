"""The integers equal a real kernel's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import DATA

from mmusim.conform import Case, conform, read_cases, replay
from mmusim.errors import ConfigError
from mmusim.mmu import fault

REFERENCE = read_cases(DATA / "kernel_counters" / "cases.jsonl")
RECORDED = read_cases(DATA / "kernel_counters" / "recorded.jsonl")
SUPPORTED = [case for case in REFERENCE + RECORDED if not case.unsupported()]


@pytest.mark.parametrize("case", SUPPORTED, ids=lambda c: f"{c.setting}: {' '.join(c.script)}")
def test_every_integer_equals_the_kernels(case: Case) -> None:
    assert replay(case).differences == ()


def test_all_legacy_cases_but_the_ring_are_supported() -> None:
    legacy = [c for c in REFERENCE if not c.tdp_mmu and c.two_dimensional_paging]
    assert len(legacy) == 20
    assert [c for c in legacy if c.unsupported()] == [c for c in legacy if c.dirty_ring_bytes]


def test_what_is_not_supported_says_why() -> None:
    reasons = {result.unsupported for result in conform(REFERENCE)} - {""}
    assert reasons == {
        "the TDP MMU is not modelled",
        "shadow paging is not modelled",
        "the dirty ring is not modelled",
    }


def test_a_wrong_mechanism_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: without the prefetch of eight, 4 KiB backing faults on every page."""
    monkeypatch.setattr(fault, "prefetch_small", lambda t, gfn: None)
    small = next(case for case in SUPPORTED if case.backing == "4k" and case.script[0] == "w")
    first = replay(small).differences[0]
    assert (first.step, first.op, first.key) == (1, "w", "pf_taken")
    assert first.simulated > first.kernel


def test_one_changed_integer_is_found() -> None:
    case = SUPPORTED[0]
    steps = ({**case.steps[0], "pf_taken": case.steps[0]["pf_taken"] + 1}, *case.steps[1:])
    changed = replay(Case(**{f: getattr(case, f) for f in case.__slots__} | {"steps": steps}))
    assert [(d.step, d.key) for d in changed.differences] == [(1, "pf_taken")]


def broken(tmp_path: Path, **changes: object) -> Path:
    line = json.loads((DATA / "kernel_counters" / "cases.jsonl").read_text().splitlines()[0])
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps(line | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"script": ["w", "q"], "steps": [{}, {}]}, r"cases.jsonl:1: script = 'q': is not a step"),
        ({"steps": []}, r"steps = 0: must be 12; match script"),
        ({"backing": "1g"}, r"backing = '1g': must be 2m or 4k"),
        ({"manual_protect": 2}, r"manual_protect = 2: must be 0, 1 or 3"),
        ({"memory_mib": 3}, r"memory_mib = 3: must be a multiple of 2"),
        ({"tdp_mmu": 1}, r"tdp_mmu = 1: must be of type bool"),
    ],
)
def test_a_case_that_is_none_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_cases(broken(tmp_path, **changes))


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_cases(tmp_path / "none.jsonl")
    (tmp_path / "no.jsonl").write_text("{nonsense\n\n[1]\n")
    with pytest.raises(ConfigError) as caught:
        read_cases(tmp_path / "no.jsonl")
    assert [c.source[-2:] for c in caught.value.complaints] == [":1", ":3"], (
        "every bad line at once"
    )
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ConfigError, match="holds no case"):
        read_cases(tmp_path / "empty.jsonl")
