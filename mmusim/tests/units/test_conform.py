"""The integers equal a real kernel's."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmusim.base.errors import ConfigError, InvariantError
from mmusim.conformance.kernel_cases import Case, as_line, read_cases
from mmusim.conformance.replay import conform, counts, replay
from mmusim.engine.processes import page_fault
from mmusim.mmu import collapse, dirty_ring, fault, walk
from mmusim.mmu.guest_pde import GuestPdes
from mmusim.mmu.spte import LEAF
from mmusim.policies import Kernel, Mmu
from mmusim.tests.support.places import DATA

REFERENCE = read_cases(DATA / "kernel_counters" / "cases.jsonl")
RECORDED = read_cases(DATA / "kernel_counters" / "recorded.jsonl")
HOLDOUT = read_cases(DATA / "kernel_counters" / "holdout.jsonl")
NEWER_FILES = sorted((DATA / "kernel_counters").glob("linux-*.jsonl"))
NEWER = [case for file in NEWER_FILES for case in read_cases(file)]
CASES = REFERENCE + RECORDED + HOLDOUT


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.setting}: {' '.join(c.script)}")
def test_every_integer_equals_the_kernels(case: Case) -> None:
    result = replay(case)
    assert result.unsupported == ""
    assert result.differences == ()


def test_every_setting_was_recorded() -> None:
    """The reference has two kernels and five settings of the module; so have our own scripts."""
    assert len(REFERENCE) == 60
    for cases, settings in ((REFERENCE, 6), (RECORDED, 5), (HOLDOUT, 6)):
        kinds = {
            (c.release.name, c.tdp_mmu, c.eager_page_split, c.two_dimensional_paging) for c in cases
        }
        assert len(kinds) == settings
    assert len({c.script for c in RECORDED}) >= 40


@pytest.mark.slow
def test_newer_kernels_count_what_the_model_counts() -> None:
    """60 scripts in each of five settings of a kernel; here a fifth of them is replayed.

    They were recorded when the model was finished. `mmusim conform` on a file replays all.
    """
    assert [r for r in conform(NEWER[::5]) if r.status != "match"] == []
    kinds = [
        (c.release.name, c.tdp_mmu, c.eager_page_split, c.two_dimensional_paging) for c in NEWER
    ]
    assert len(set(kinds)) == 10
    assert all(kinds.count(kind) >= 60 for kind in kinds)
    assert {0, 64} < {case.clear_chunk_pages for case in NEWER}


@pytest.mark.slow
def test_recovered_large_sptes_of_7_3_would_differ_if_they_were_all_writable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Control: the bits of the first child (K.1 L10) are what these recordings are about."""
    monkeypatch.setattr(collapse, "_first_leaves", all_writable(collapse._first_leaves))
    some = [
        c for c in NEWER if c.release.release == (7, 3) and c.mmu is Mmu.TDP and "u" in c.script
    ]
    assert any(differs(case) for case in some)


def all_writable(found: Any) -> Any:
    def leaves(page: Any, region: Any) -> Any:
        return np.where(found(page, region) != 0, LEAF, 0).astype(np.uint8)

    return leaves


@pytest.mark.parametrize(
    ("chunk", "wrong"), [(64, False), (4096, False), (32, True), (-64, True), (True, True)]
)
def test_a_series_of_clears_is_a_multiple_of_64_pages(
    tmp_path: Path, chunk: int, wrong: bool
) -> None:
    line = json.loads((DATA / "kernel_counters" / "cases.jsonl").read_text().splitlines()[0])
    (tmp_path / "one.jsonl").write_text(json.dumps(line | {"clear_chunk_pages": chunk}))
    if wrong:
        with pytest.raises(ConfigError, match="clear_chunk_pages"):
            read_cases(tmp_path / "one.jsonl")
        return
    (case,) = read_cases(tmp_path / "one.jsonl")
    assert case.clear_chunk_pages == chunk
    (tmp_path / "two.jsonl").write_text(as_line(case))
    assert read_cases(tmp_path / "two.jsonl") == [case]


def test_a_ring_may_be_harvested_while_nothing_logs(tmp_path: Path) -> None:
    line = json.loads((DATA / "kernel_counters" / "cases.jsonl").read_text().splitlines()[0])
    script = ["w", "l", "w", "u", "h", "h"]
    steps = [{"op": op} for op in script]
    line |= {"dirty_ring_bytes": 65536, "script": script, "steps": steps}
    (tmp_path / "one.jsonl").write_text(json.dumps(line))
    (case,) = read_cases(tmp_path / "one.jsonl")
    assert [step["dirty"] for step in counts(case)[4:]] == [65, 0]


def differs(case: Case) -> bool:
    try:
        return replay(case).differences != ()
    except InvariantError:
        return True


MISTAKES = {
    "no prefetch of eight": (
        lambda patch: patch.setattr(fault, "prefetch_small", lambda *_: None),
        lambda case: case.backing == "4k" and case.mmu is not Mmu.TDP,
    ),
    "a split in the fault before 6.2": (
        lambda patch: patch.setattr(
            page_fault, "drop_large_spte", page_fault.split_large_spte
        ),
        lambda case: case.mmu is Mmu.LEGACY and case.backing == "2m",
    ),
    "a ring without reserve": (
        lambda patch: patch.setattr(dirty_ring, "RESERVED", 0),
        lambda case: case.dirty_ring_bytes > 0,
    ),
    "writable sptes for clean guest mappings": (
        lambda patch: patch.setattr(GuestPdes, "walk", lambda *_: (LEAF, False)),
        lambda case: case.mmu is Mmu.SHADOW and case.script[0].startswith("r"),
    ),
    "a lockless path under shadow paging": (
        lambda patch: patch.setattr(Kernel, "fast_page_fault", lambda *_: True),
        lambda case: case.mmu is Mmu.SHADOW,
    ),
    "an eager split that is not done": (
        lambda patch: patch.setattr(walk, "split_slot", lambda *_: (0, 0)),
        lambda case: case.mmu is Mmu.TDP and case.eager_page_split,
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_mechanism_is_found(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative controls: each of these makes some integer differ that is right without it."""
    break_it: Any
    break_it, where = MISTAKES[mistake]
    with monkeypatch.context() as patch:
        break_it(patch)
        found = next(filter(differs, filter(where, CASES)), None)
    assert found is not None
    assert not differs(found)


def test_one_changed_integer_is_found() -> None:
    case = REFERENCE[0]
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
        ({"kernel": "Linux"}, r"kernel = 'Linux': names no release"),
        ({"dirty_ring_bytes": 5000}, r"dirty_ring_bytes = 5000: must be 0 or a power of two"),
        ({"tdp_mmu": 1}, r"tdp_mmu = 1: must be of type bool"),
    ],
)
def test_a_case_that_is_none_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_cases(broken(tmp_path, **changes))


@pytest.mark.parametrize(
    ("kernel", "name"),
    [
        ("Linux 2.6.36", "linux-2.6.36"),
        ("2.6.32.71-generic", "linux-2.6.32"),
        ("Linux 6.1.0-2.6.36", "linux-6.1"),
        ("Linux 6.12.6", "linux-6.12"),
    ],
)
def test_releases_of_the_old_scheme_have_three_numbers(
    tmp_path: Path, kernel: str, name: str
) -> None:
    path = broken(tmp_path, kernel=kernel, tdp_mmu=False, eager_page_split=False)
    assert {case.release.name for case in read_cases(path)} == {name}


def test_a_case_of_an_unknown_release_is_refused(tmp_path: Path) -> None:
    """Negative control of the old scheme: 2.6 alone is no release."""
    for kernel, named in {"Linux 2.6": "2.6", "Linux 2.6.12": "2.6.12"}.items():
        with pytest.raises(ConfigError, match=rf"'linux-{named}.*is not"):
            read_cases(broken(tmp_path, kernel=kernel, tdp_mmu=False, eager_page_split=False))


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


def test_a_step_that_the_kernel_refuses_is_unsupported() -> None:
    case = next(c for c in REFERENCE if c.dirty_ring_bytes)
    asked = replay(dataclasses.replace(case, script=("w", "g"), steps=({}, {})))
    assert asked.status == "unsupported"
    assert asked.unsupported == "step g does not exist with this way of reporting"


@pytest.mark.parametrize(("size", "status"), [(4096, "unsupported"), (16384, "match")])
def test_a_ring_that_has_no_room_for_a_pml_buffer_is_refused_as_by_the_kernel(
    size: int, status: str
) -> None:
    """kvm_vm_ioctl_enable_dirty_log_ring: 576 entries stay free under PML."""
    case = dataclasses.replace(
        REFERENCE[0], tdp_mmu=True, two_dimensional_paging=True,
        pml=True, dirty_ring_bytes=size, backing="4k", script=("l",), steps=({"op": "l"},),
    )  # fmt: skip
    result = replay(case)
    assert result.status == status
    assert ("keeps 576 free" in result.unsupported) == (status == "unsupported")
