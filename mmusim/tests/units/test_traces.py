"""Recorded traces: import, file format, replay, and what comes with the project."""

from __future__ import annotations

import json
import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from mmusim.base.errors import ConfigError
from mmusim.cli import app
from mmusim.config.settings import Setting
from mmusim.config.workloads import PATTERNS, load_workload
from mmusim.costs.random_streams import Draws, uniforms
from mmusim.engine import simulate
from mmusim.plan.make import make_plan
from mmusim.tests.support.command_line import mmusim_here
from mmusim.tests.support.settings import CONSTANT, setting
from mmusim.workload import lackey
from mmusim.workload.base import Accesses
from mmusim.workload.replay import Replay
from mmusim.workload.trace_file import PageTrace, read_trace, write_trace

ROOT = Path(__file__).parents[3]
SHIPPED = sorted(ROOT.glob("workloads/traces/*.xz"))

SNIPPET = b"""\
==123== Lackey, an example Valgrind tool
==123== Command: ./a.out, with a comma
==123==
I  04016b80,3
 S 1ffefffe48,8
I  04016b83,5
 L 04017ff8,8
I  04017001,1
 M 0421c7f0,4
I  04017002,1
 L 04017ff8,8
 S 1ffeffff00,8
==123== Exit code:       0
"""
ROWS = [  # instruction, page, is a write; an M is a write
    (0, 0x4016, False), (0, 0x1FFEFFF, True), (1, 0x4017, False), (2, 0x421C, True),
]  # fmt: skip


def rows(trace: PageTrace) -> list[tuple[int, int, bool]]:
    columns = (trace.at, trace.page, trace.write)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def ranked(expected: list[tuple[int, int, bool]]) -> list[tuple[int, int, bool]]:
    pages = sorted({page for _, page, _ in expected})
    return [(at, pages.index(page), write) for at, page, write in expected]


def test_a_snippet_is_read_as_by_hand() -> None:
    trace = lackey.parse([SNIPPET], 1000, {"command": "./a.out"})
    assert rows(trace) == ranked(ROWS)
    assert trace.instructions == 4
    assert trace.footprint == 4
    assert trace.facts == {"command": "./a.out", "quantum": 1000}


def test_a_quantum_of_one_keeps_what_each_instruction_touches() -> None:
    trace = lackey.parse([SNIPPET], 1, {})
    assert rows(trace) == ranked([
        (0, 0x4016, False), (0, 0x1FFEFFF, True), (1, 0x4016, False), (1, 0x4017, False),
        (2, 0x4017, False), (2, 0x421C, True), (3, 0x4017, False), (3, 0x1FFEFFF, True),
    ])  # fmt: skip


@pytest.mark.parametrize("size", [1, 7, 50, 10_000])
def test_blocks_may_be_cut_anywhere(size: int) -> None:
    blocks = [SNIPPET[i : i + size] for i in range(0, len(SNIPPET), size)]
    assert rows(lackey.parse(blocks, 2, {})) == rows(lackey.parse([SNIPPET], 2, {}))


def walk(instructions: int = 4000) -> bytes:
    """Output of a program that is not there, from indexed draws."""
    kinds, pages = (uniforms(Draws(1).key(p, 0), 0, instructions) for p in ("kind", "page"))
    lines = []
    for i, (kind, page) in enumerate(zip(kinds, pages, strict=True)):
        lines.append(f"I  {0x400000 + i // 500 * 4096 + i % 500 * 8:08x},4")
        if kind < 0.7:
            letter = "L" if kind < 0.4 else "S" if kind < 0.6 else "M"
            lines.append(f" {letter} {0x1FFE000000 + int(page**3 * 200) * 4096:x},8")
    return "\n".join(lines).encode()  # the last line has no end


def test_pages_per_quantum_are_exact_and_a_coarser_quantum_is_a_subset() -> None:
    everything, fine, coarse = (lackey.parse([walk()], q, {}) for q in (1, 50, 200))
    assert len(everything.page) > 2 * len(coarse.page)
    for quantum, kept in ((50, fine), (200, coarse)):
        in_quanta = [
            {(at // quantum, page, write) for at, page, write in rows(t)}
            for t in (everything, kept)
        ]
        assert in_quanta[0] == in_quanta[1]
        assert len(rows(kept)) == len(in_quanta[1]), "each once"
    assert set(rows(coarse)) < set(rows(fine)) < set(rows(everything))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "has no line such as 'I  04016b80,3'; record with valgrind --tool=lackey"),
        (b"hello\nworld\n", "has no line such as"),
        (b"I  04016b80,3\nI  zz,3\n", "line 2: has no address before a comma"),
        (b"I  04016b80,3\n L 0401", "line 2: has no address before a comma; record again"),
        (b"I  04016b8011111111111,3\n", "line 1: has no address"),
    ],
)
def test_what_is_not_lackeys_output_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        lackey.parse([text], 1000, {})
    assert message in str(caught.value)


# --- files ---------------------------------------------------------------------------------------


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "it.trace.xz"
    write_trace(lackey.parse([walk()], 50, {"command": "it"}), path)
    return path


def test_a_trace_survives_the_file(recorded: Path) -> None:
    trace, again = lackey.parse([walk()], 50, {}), read_trace(recorded)
    assert rows(again) == rows(trace)
    assert again.instructions == trace.instructions == 4000
    assert again.facts["command"] == "it"
    assert again.facts["footprint"] == trace.footprint
    assert list(recorded.parent.iterdir()) == [recorded], "no unfinished file is left"
    first = recorded.read_bytes()
    write_trace(again, recorded)
    assert recorded.read_bytes() == first


def test_extreme_steps_survive(tmp_path: Path) -> None:
    page, at = np.array([0, 2**30 - 1, 0, 5]), np.array([0, 0, 2**31, 2**32])
    trace = PageTrace(page=page, write=page > 0, at=at, instructions=2**32 + 1, facts={})
    write_trace(trace, tmp_path / "t.xz")
    assert rows(read_trace(tmp_path / "t.xz")) == rows(trace)


def packed(head: bytes) -> bytes:
    return lzma.compress(head)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a trace file"),
        (b"hello", "is not a trace file"),
        (packed(b"hello\n"), "is not a trace file; make one with mmusim workload import"),
        (
            packed(b"mmusim-trace 2\n{}\n"),
            "has format 2; this mmusim reads up to 1; upgrade mmusim",
        ),
        (packed(b"mmusim-trace 1\n{}\n"), "is cut short or damaged; copy or record it again"),
        (
            packed(b'mmusim-trace 1\n{"records": 3, "instructions": 1, "footprint": 1}\n'),
            "is cut short",
        ),
        (packed(b"mmusim-trace 1\n[]\n"), "is cut short or damaged"),
    ],
)
def test_a_file_that_is_no_trace_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.xz"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_trace(path)
    assert f"{path}: file: {message}" in str(caught.value)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_refused(recorded: Path, share: float) -> None:
    whole = recorded.read_bytes()
    recorded.write_bytes(whole[: max(6, int(len(whole) * share))])
    with pytest.raises(ConfigError, match="is cut short or damaged"):
        read_trace(recorded)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_trace(tmp_path / "none.xz")


# --- replay --------------------------------------------------------------------------------------


def replayed(path: Path, cpu: int = 0, base: int = 0, **more: Any) -> Accesses:
    made = Replay.model_validate({"pattern": "replay", "trace": str(path), **more})
    draws = Draws(1)
    return made.accesses(base, 4096, lambda p, f, n: uniforms(draws.key(p, cpu), f, n))


def test_replay_is_the_trace(recorded: Path) -> None:
    trace, a = read_trace(recorded), replayed(recorded, base=100, order="address")
    assert (a.gfn == trace.page + 100).all()
    assert (a.write == trace.write).all()
    assert a.think is not None
    assert (np.cumsum(a.think) == np.floor(trace.at * 0.5)).all()
    slow = replayed(recorded, instruction_time="2ns")
    assert slow.think is not None
    assert slow.think.sum() == 2 * trace.at[-1]


def test_pages_in_the_order_of_first_touches(recorded: Path) -> None:
    gfn = replayed(recorded).gfn
    seen = np.maximum.accumulate(gfn)
    assert gfn[0] == 0
    assert (np.diff(seen) <= 1).all(), "a new page is the next one"
    by_address = replayed(recorded, order="address").gfn
    assert (np.diff(np.maximum.accumulate(by_address)) > 1).any(), "control"
    assert len(np.unique(gfn)) == len(np.unique(by_address)) == read_trace(recorded).footprint


def test_a_trace_is_truncated_or_repeated(recorded: Path) -> None:
    trace, whole = read_trace(recorded), replayed(recorded)
    count = len(trace.page)
    assert (replayed(recorded, records=10).gfn == whole.gfn[:10]).all()
    more = replayed(recorded, records=2 * count + 5)
    assert (more.gfn == np.concatenate([whole.gfn, whole.gfn, whole.gfn[:5]])).all()
    assert more.think is not None
    turn = int(more.think[: count + 1].sum())
    assert turn == int((trace.instructions + trace.at[0]) * 0.5), "a round takes what the run took"


def test_a_random_start_is_a_rotation_of_the_trace(recorded: Path) -> None:
    whole = replayed(recorded).gfn
    one, other = (replayed(recorded, cpu=cpu, start="random") for cpu in (0, 1))
    assert (one.gfn != other.gfn).any()
    rotations = [np.roll(whole, -i) for i in range(len(whole))]
    assert any((one.gfn == rotation).all() for rotation in rotations)
    assert one.think is not None
    assert one.think.min() >= 0


def replaying(trace: Path, memory: str = "4MiB", vcpus: int = 2, **more: Any) -> Setting:
    phases = [
        {"do": "write"}, {"do": "enable-logging"},
        {"do": "run", "workload": "it", "background": True, "name": "it"},
        *[{"do": "sleep", "time": "20us"}, {"do": "sync-dirty-log"}] * 5, {"do": "wait"},
    ]  # fmt: skip
    it = {"pattern": "replay", "trace": str(trace), **more}
    return setting(phases, memory=memory, vcpus=vcpus, workloads={"it": it}, costs=CONSTANT)


@pytest.mark.parametrize("policy", ["lazy-drop", "eager-drop"])
def test_a_replay_bundled_is_the_replay_access_by_access(recorded: Path, policy: str) -> None:
    plan = make_plan(replaying(recorded, start="random", instruction_time="50ns"), policy, 1)
    a, b = simulate(plan), simulate(plan, run_limit=1)
    assert a.fingerprint == b.fingerprint
    phase = a.phases[2]
    asked = [plan.program(2, cpu).accesses.think for cpu in (0, 1)]
    assert phase.ledger["think"] == sum(int(think.sum()) for think in asked if think is not None)
    assert phase.ledger["flush_exit"] > 0 or policy == "eager-drop", "nothing was cut"


def test_a_trace_that_leaves_the_slot_is_refused(tmp_path: Path) -> None:
    path, page = tmp_path / "t.xz", np.arange(600)
    whole: dict[str, Any] = {
        "page": page,
        "write": page > 9,
        "at": page,
        "instructions": 600,
        "facts": {},
    }
    write_trace(PageTrace(**whole), path)
    with pytest.raises(ConfigError) as caught:
        replaying(path, memory="4MiB", vcpus=2)
    assert f"workloads.it.trace = '{path}': touches 600 pages and leaves the 512" in str(
        caught.value
    )
    assert "give each vCPU at least 2400KiB: raise vm.memory or lower" in str(caught.value)
    assert replaying(path, memory="8MiB", vcpus=2).experiment.vm.vcpus == 2


def test_a_missing_trace_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.xz: file: cannot be read"):
        replaying(tmp_path / "none.xz")


def test_a_cell_is_known_by_the_contents_of_its_trace(recorded: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere.xz"
    shutil.copy(recorded, copy)
    assert replaying(recorded).key() == replaying(copy).key()
    write_trace(lackey.parse([walk(3000)], 50, {}), copy)
    assert replaying(recorded).key() != replaying(copy).key()


# --- command line --------------------------------------------------------------------------------


def mmusim(*args: str, path: str | None = None, text: bytes = b"") -> tuple[int, str, str]:
    environment = os.environ | ({} if path is None else {"PATH": path})
    done = subprocess.run(
        [sys.executable, "-m", "mmusim", "workload", *args],
        input=text, capture_output=True, check=False, env=environment,
    )  # fmt: skip
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_import_and_show(tmp_path: Path) -> None:
    source, to = tmp_path / "lackey.out", tmp_path / "t.xz"
    source.write_bytes(walk())
    runner = CliRunner()
    made = runner.invoke(app, ["workload", "import", str(source), "--to", str(to)])
    assert made.exit_code == 0, made.output
    assert "records of" in made.output
    shown = runner.invoke(app, ["workload", "show", str(to), "--json"])
    facts = json.loads(shown.output)
    written = [row["written_pages"] for row in facts["rows"]]
    assert written == sorted(written)
    assert facts["facts"]["instructions"] == 4000
    trace = read_trace(to)
    assert written[-1] == len(np.unique(trace.page[trace.write]))


def test_list_names_every_pattern_and_default() -> None:
    shown = json.loads(CliRunner().invoke(app, ["workload", "list", "--json"]).output)
    listed = {row["pattern"]: row["parameters"] for row in shown["rows"]}
    assert "exponent = 0.99" in listed["zipf"]
    assert listed["replay"].startswith("trace, ")
    assert listed.keys() == PATTERNS.keys()


def test_plot_draws_a_line_for_each(tmp_path: Path) -> None:
    to = tmp_path / "it.svg"
    drawn = CliRunner().invoke(app, ["workload", "plot", "zipf", "uniform", "--to", str(to)])
    assert drawn.exit_code == 0, drawn.output
    text = to.read_text()
    assert "distinct pages written" in text
    assert ">zipf<" in text
    assert ">uniform<" in text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["show", "zipff"],
            "NAME_OR_FILE = 'zipff': is neither a pattern nor a file; did you mean",
        ),
        (["show", "zipf", "--memory", "1"], "--memory = '1': must be a number and a unit of"),
        (["plot", "zipf", "--to", "x.gif"], "must end in .svg, .png or .pdf"),
        (["show", "no.toml"], "no.toml: file: cannot be read"),
        (["import", "no.out", "--to", "x.xz"], "lackey output: no.out: cannot be read"),
        (["record", "--to", "x.xz", "--", "no-such-program"], "is not a program"),
        (["record", "--to", "no/x.xz", "--", "true"], "no/x.xz: the folder does not exist"),
    ],
)
def test_a_wrong_command_gets_one_line(args: list[str], message: str) -> None:
    done = mmusim_here("workload", *args)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_valgrind_record_says_what_to_install(tmp_path: Path) -> None:
    status, _, errors = mmusim("record", "--to", "x.xz", "--", sys.executable, path=str(tmp_path))
    assert status == 2
    assert (
        errors == "mmusim: workload record: valgrind: is not installed; apt-get install valgrind\n"
    )


def test_record_reads_what_valgrind_writes_and_passes_its_status_on(tmp_path: Path) -> None:
    """With a stand-in that writes a snippet to the descriptor it is told, as valgrind does."""
    tool = tmp_path / "valgrind"
    (tmp_path / "snippet").write_bytes(SNIPPET)
    tool.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && { echo valgrind-0; exit; }\n'
        f'for a; do case "$a" in --log-fd=*) cat {tmp_path}/snippet >&"${{a#*=}}";; esac; done\n'
        "exit 3\n"
    )
    tool.chmod(0o755)
    to = tmp_path / "t.xz"
    path = f"{tmp_path}:/usr/bin:/bin"
    status, told, errors = mmusim("record", "--to", str(to), "--", "true", "a b", path=path)
    assert (status, errors) == (3, "")
    assert "4 records of 4 pages in 4 instructions" in told
    trace = read_trace(to)
    assert rows(trace) == ranked(ROWS)
    assert trace.facts["command"] == "true 'a b'"
    assert trace.facts["tool"] == "valgrind-0 --tool=lackey --trace-mem=yes"


# --- what comes with the project -----------------------------------------------------------------


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_shipped_traces_are_whole_and_say_how_they_were_made(path: Path) -> None:
    assert path.stat().st_size <= 3_000_000
    trace = read_trace(path)
    assert {"command", "tool", "recorded", "quantum", "note"} <= set(trace.facts)
    assert trace.write.any()
    assert (np.diff(trace.at) >= 0).all()
    assert len(np.unique(trace.page)) == trace.footprint
    readme = (path.parent / "README.md").read_text()
    assert path.name in readme
    assert f"{trace.footprint:,}" in readme


def test_there_are_four_traces_with_a_workload_each() -> None:
    assert len(SHIPPED) >= 4
    files = ROOT.glob("workloads/*.toml")
    named = {w.trace for w in map(load_workload, files) if isinstance(w, Replay)}
    assert {Path(name).name for name in named} == {path.name for path in SHIPPED}
