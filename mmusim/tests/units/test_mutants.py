"""Seeded mutants of every file that comes with mmusim: a result or a complaint, nothing else.

Each mutant is a file with one to three things changed, by structure or by bytes. Whatever it is,
the reader returns what it reads or raises ConfigError with a message; no other exception, and soon.
"""

from __future__ import annotations

import copy
import gzip
import json
import lzma
import os
import random
import re
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import tomli_w

import mmusim
from mmusim.base.errors import ConfigError
from mmusim.base.parsing import parse_toml, read_toml
from mmusim.config.host import load_profile
from mmusim.config.load import load
from mmusim.config.resolved import resolved
from mmusim.config.schema import properties
from mmusim.config.settings import load_settings, settings_of
from mmusim.config.topology import Machine
from mmusim.config.workloads import load_workload
from mmusim.conformance.kernel_cases import read_cases
from mmusim.migration_logs.experiment_file import Given, experiment_text
from mmusim.migration_logs.formats import read_log
from mmusim.tests.support.migration_log_samples import BASE, SAMPLES
from mmusim.tests.support.places import DATA, ROOT
from mmusim.validation.live_arms import read_arms
from mmusim.validation.live_grid import read_grid
from mmusim.validation.live_runs import load_runs
from mmusim.workload.trace_file import PageTrace, read_trace, write_trace

HOME = Path(mmusim.__file__).parent
SECONDS: Final = 20.0
"""No reader needs so long, on a loaded machine with two processors either."""


def read_experiment(path: Path) -> object:
    """As `mmusim show` does it, of the first setting."""
    return tomli_w.dumps(resolved(load_settings(path)[1][0]))


def read_profile(path: Path) -> object:
    return load_profile(path.name, path.parent).distributions("random", 1 << 30)


def read_migration(path: Path) -> object:
    """As `mmusim import` does it."""
    given = Given(vcpus=1, kernel="linux-6.13", memory=1 << 30, bandwidth=10**9)
    made = experiment_text(read_log(path), "a.log", "a", given)
    return settings_of(parse_toml(made.text, "a.toml"), "a.toml", path.parent)


def read_machine(path: Path) -> object:
    return load(path, Machine).model()


RECORDED: Final = HOME / "validation" / "recorded"
KINDS: Final[dict[str, tuple[list[Path], Callable[[Path], object], int]]] = {
    "experiment": (sorted(ROOT.glob("experiments/*/experiment.toml")), read_experiment, 1_000),
    "key": (sorted((DATA / "every_key").glob("*.toml")), read_experiment, 1_000),
    "profile": (sorted(HOME.glob("costs/profiles/*.toml")), read_profile, 500),
    "workload": (
        [*sorted(ROOT.glob("workloads/*.toml")), *(DATA / "every_key").glob("workloads/*.toml")],
        load_workload,
        500,
    ),
    "cases": (
        [*sorted((DATA / "kernel_counters").glob("*.jsonl")), RECORDED / "conform.jsonl"],
        read_cases, 500,
    ),
    "trace": ([], read_trace, 400),
    "shipped trace": (sorted(ROOT.glob("workloads/traces/*.trace.xz")), read_trace, 100),
    "grid": (sorted(HOME.glob("validation/live_*.toml")), read_grid, 200),
    "arms": (sorted(ROOT.glob("experiments/*/live.toml")), read_arms, 200),
    "machine": ([HOME / "validation" / "machine.toml"], read_machine, 100),
    "recorded runs": (
        [*sorted(RECORDED.glob("*.jsonl.gz")), *sorted(ROOT.glob("experiments/*/live.jsonl.gz"))],
        load_runs, 300,
    ),
    "log of a migration": ([], read_migration, 600),
}  # fmt: skip
"""Files, what reads them, and how many mutants there are: 5,400 in all. Of logs and traces without
a file the tests write samples.
"""
ODD: Final[list[Any]] = [
    None, True, False, 0, -1, 1, 2, 1 << 31, 1 << 53, (1 << 63) - 1, -(1 << 63), 1 << 64, 10**300,
    0.0, -0.5, 1e308, float("inf"), float("nan"), "", " ", "0", "x", "\0", "\x1b[31m", "a" * 5_000,
    "0ns", "1us", "99999h", "1e99s", "-1s", "nan", "inf", "100%", "101%", "0B", "1TiB", "1e30GiB",
    "3B", "1Gbps", "linux-9.99", "linux-2.6.28", "none", "eager-drop", "../../etc/passwd",
    "/dev/zero",
    "$\\frac$", "<script>", "=1+1", "\u202e", "\U0001f600", [], {}, [[]], [None], [1, "a"], {"": 1},
    {"a": {"b": {"c": 1}}}, ["1us"] * 40, {"lognormal": {"median": "1ns", "p90": "1h"}},
]  # fmt: skip


ODD_BYTES: Final = [b"[" * 200, b"9" * 5000, b"{a=" * 99, b"\0", b"\xff\xfe"]


def places(data: Any) -> list[tuple[Any, Any]]:
    """Every container in `data` with every key of it."""
    found: list[tuple[Any, Any]] = []
    left = [data]
    while left:
        value = left.pop()
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            found.append((value, key))
            if isinstance(value[key], dict | list):
                left.append(value[key])
    return found


def changed(data: Any, rng: random.Random) -> Any:
    """Change one thing: another value, another name, a value from elsewhere, less or more."""
    data = copy.deepcopy(data)
    if not (found := places(data)):
        return data
    inside, key = rng.choice(found)
    match rng.randrange(7):
        case 0 | 1:
            inside[key] = copy.deepcopy(rng.choice(ODD))
        case 2:
            alike = [v[k] for v, k in found if type(v[k]) is type(inside[key])]
            inside[key] = copy.deepcopy(rng.choice(alike))
        case 3:
            del inside[key]
        case 4 if isinstance(inside, dict):
            name = rng.choice([f"{key}x", "", "a.b", "\0", "x" * 300, str(rng.choice(found)[1])])
            inside[name] = inside.pop(key)
        case 5 if isinstance(inside, list):
            inside.insert(0, copy.deepcopy(inside[key]))
        case _:
            inside[key] = grown(inside[key], rng)
    return data


def grown(value: Any, rng: random.Random) -> Any:
    """Make a number or a quantity larger or smaller by orders of magnitude; nest what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        for _ in range(rng.choice([1, 40])):
            value = [value]
        return value
    if isinstance(value, str):
        number = value.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ%/µ ")
        factor = rng.choice(["0", "000000", "e9", "e-9", ".5", "_", "-"])
        return number + factor + value[len(number) :]
    return value * rng.choice([0, -1, 2, 1000, 10**9, 10**30, 1e-9])


def bytes_changed(data: bytes, rng: random.Random) -> bytes:
    """Change, cut, double or insert some bytes."""
    at = rng.randrange(len(data) + 1)
    size = rng.choice([1, 1, 4, 64])
    match rng.randrange(5):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + rng.randbytes(size) + data[at + size :]
        case 2:
            return (
                data[:at]
                + rng.choice([b"[" * 200, b"9" * 5000, b"{a=" * 99, b"\0", b"\xff\xfe"])
                + data[at:]
            )
        case 3:
            return data[:at] + data[at + size :]
    return data + data[at : at + 500]


def toml(path: Path, rng: random.Random) -> bytes:
    if rng.random() < 0.25:
        return bytes_changed(path.read_bytes(), rng)
    data = parsed(path)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        data = changed(data, rng)
    try:
        return tomli_w.dumps(without_none(data)).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, AttributeError):  # no TOML can say it
        return bytes_changed(path.read_bytes(), rng)


@cache
def parsed(path: Path) -> Any:
    """The data of a file; `changed` changes a copy."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def without_none(data: Any) -> Any:
    """TOML has no null."""
    if isinstance(data, dict):
        return {key: without_none(value) for key, value in data.items() if value is not None}
    if isinstance(data, list):
        return [without_none(value) for value in data if value is not None]
    return data


def jsonl(path: Path, rng: random.Random) -> bytes:
    lines = path.read_bytes().splitlines(keepends=True)
    line = rng.choice(lines)
    if rng.random() < 0.25:
        return bytes_changed(line, rng)
    data = json.loads(line)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        data = changed(data, rng)
    return json.dumps(data).encode()


def trace(rng: random.Random) -> bytes:
    """A small trace, of which the head, the columns or the packed bytes are changed."""
    count = rng.randint(1, 40)
    page = np.array([rng.randrange(9) for _ in range(count)])
    page = np.unique(page, return_inverse=True)[1]
    at = np.sort(np.array([rng.randrange(1000) for _ in range(count)]))
    whole = PageTrace(page=page, write=page > 2, at=at, instructions=1000, facts={"quantum": 10})
    with tempfile.TemporaryDirectory() as folder:
        write_trace(whole, Path(folder) / "whole.xz")
        packed = (Path(folder) / "whole.xz").read_bytes()
    if rng.random() < 0.4:
        return bytes_changed(packed, rng)
    name, head, columns = lzma.decompress(packed).split(b"\n", 2)
    if rng.random() < 0.7:
        head = json.dumps(changed(json.loads(head), rng)).encode()
    else:
        columns = bytes_changed(columns, rng)
    return lzma.compress(b"\n".join([name, head, columns]))


def runs_gz(path: Path, rng: random.Random) -> bytes:
    """Recorded runs: the facts and some lines, of which one is changed."""
    if rng.random() < 0.25:
        return bytes_changed(path.read_bytes()[:20_000], rng)
    facts, *rest = unpacked(path)
    lines = [facts, *rng.sample(rest, 3)]
    at = rng.randrange(len(lines))
    data = json.loads(lines[at])
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        data = changed(data, rng)
    lines[at] = json.dumps(data).encode()
    return gzip.compress(b"\n".join(lines), 1)


@cache
def unpacked(path: Path) -> list[bytes]:
    """The lines of a packed file."""
    return gzip.decompress(path.read_bytes()).splitlines()


ODD_WORDS: Final = (
    "", "0", "-1", "99999999999999999999", "1e999", "nan", "\0", "\x1b[31m", "kbytes", "TiB", "{",
    "]", "9" * 5_000, "\u202e", "ms", "100%", "completed", "failed", "active", ":",
)  # fmt: skip


def log(rng: random.Random) -> bytes:
    """A log of a migration in one of the forms, of which words, lines or bytes are changed."""
    text = rng.choice(list(SAMPLES.values())).write(BASE)
    kind = rng.random()
    if kind < 0.25:
        return bytes_changed(text.encode(), rng)
    if kind < 0.5:
        lines = text.splitlines(keepends=True)
        at = rng.randrange(len(lines))
        lines[at : at + 1] = rng.choice([[], [lines[at]] * 2, [rng.choice(lines)], ["\n"]])
        return "".join(lines).encode()
    words = re.split(r"(\W+)", text)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(words))
        number = words[at].isdigit() and rng.random() < 0.5
        words[at] = str(grown(int(words[at]), rng)) if number else rng.choice(ODD_WORDS)
    return "".join(words).encode("utf-8", "surrogatepass")


SAMPLED: Final = {"trace": ("mutant.trace.xz", trace), "log of a migration": ("mutant.log", log)}
"""Kinds of which there is no file: its name, and what writes it."""
WRITERS: Final[dict[str, Callable[[Path, random.Random], bytes]]] = {
    ".jsonl": jsonl, ".gz": runs_gz, ".xz": lambda path, rng: bytes_changed(path.read_bytes(), rng),
    ".toml": toml,
}  # fmt: skip
"""What changes a file, by the end of its name."""


def mutant(kind: str, number: int, folder: Path) -> Path:
    """The mutant of that number; the same at each call."""
    rng = random.Random(f"{kind} {number}")
    if kind in SAMPLED:
        name, write = SAMPLED[kind]
        (folder / name).write_bytes(write(rng))
        return folder / name
    source = KINDS[kind][0][number % len(KINDS[kind][0])]
    path = folder / f"mutant{''.join(source.suffixes)}"
    path.write_bytes(WRITERS[source.suffix](source, rng))
    return path


def complaints_about(path: Path, read: Callable[[Path], object], which: str) -> int:
    """Return how many complaints there are; each says what the rule is, and what to do."""
    try:
        read(path)
    except ConfigError as error:
        caught = error
    except Exception as error:
        raise AssertionError(f"{which}: {error!r}") from error
    else:
        return 0
    assert all(one.rule and one.remedy for one in caught.complaints), which
    assert len(str(caught)) < 60_000, which
    return len(caught.complaints)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_a_mutant_gives_a_result_or_a_complaint(kind: str, part: int, tmp_path: Path) -> None:
    read, count = KINDS[kind][1:]
    came_of = Counter[str]()
    for number in range(part, count, 4):
        path = mutant(kind, number, tmp_path)
        start = time.process_time()
        complaints = complaints_about(path, read, f"mutant {number} of kind {kind}")
        came_of["complaint" if complaints else "result"] += 1
        assert time.process_time() - start < SECONDS, f"{kind} {number}"
    sorts = {"complaint"} if kind == "shipped trace" else {"result", "complaint"}  # has a checksum
    assert set(came_of) == sorts, "control: mutants are of both sorts"


def test_there_are_three_thousand_mutants_and_no_file_is_left_out() -> None:
    assert sum(count for _, _, count in KINDS.values()) == 5_400
    assert all(count >= 25 * len(files) for files, _, count in KINDS.values())
    kept = {path for files, _, _ in KINDS.values() for path in files}
    assert len(kept) == sum(len(files) for files, _, _ in KINDS.values()) >= 40
    assert {kind for kind, (files, _, _) in KINDS.items() if not files} == set(SAMPLED)
    folders = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    shipped = {path for end in ENDS for folder in folders for path in folder.rglob(end)}
    left = {path.name for path in shipped - kept}
    assert left - {"fingerprints.toml", "domjobinfo.toml", "migrations.toml"} == set()


# Not among them: what tests pin, and tables of mmusim's own that no option replaces.
ENDS: Final = ("*.toml", "*.jsonl", "*.jsonl.gz", "*.trace.xz")


def keys_in(data: Any) -> set[str]:
    """Every key of every table."""
    found = places(data)
    return {key for inside, key in found if isinstance(inside, dict)} | {
        name.rpartition(".")[2] for inside, name in found if isinstance(inside, dict)
    }


def test_every_key_of_experiment_files_is_in_a_file_that_is_mutated() -> None:
    files = [path for kind in ("experiment", "key", "workload") for path in KINDS[kind][0]]
    known = set().union(*(keys_in(tomllib.loads(path.read_text())) for path in files))
    missing = {(p.table, p.key) for p in properties() if p.key not in known}
    assert not missing


DEEP = "[" * 3_000 + "]" * 3_000
TOO_MUCH = {
    "deep lists": f"x = {DEEP}",
    "deep tables": "x = " + "{a=" * 3_000 + "1" + "}" * 3_000,
    "dotted": "a." * 20_000 + "a = 1",
    "dotted, spaced and quoted": 'a . "b" . ' * 40 + "c = 1",
    "header": "[" + "a." * 20_000 + "a]",
    "digits": "x = " + "9" * 5_000,
    "hexadecimal": "x = 0x" + "f" * 5_000,
    "beyond 64 bits": "x = 99999999999999999999",
    "beyond a double": "x = 1e999",
    "name": '"' + "n" * 5_000 + '" = 1',
    "control": 'x = "\\u001b[2J"',
    "null": 'x = "\\u0000"',
    "date": "x = 2026-99-99",
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_what_is_beyond_the_bounds_of_toml_is_refused_at_once(what: str) -> None:
    start = time.process_time()
    with pytest.raises(ConfigError) as caught:
        parse_toml(TOO_MUCH[what], "x.toml")
    assert time.process_time() - start < 2
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "text", ["x = [[[[1]]]]", 'x = "[[[[[ a.b.c"', "x = 0xff", "x = 1_000", "a.b.c.d = inf"]
)
def test_what_is_within_the_bounds_is_read(text: str) -> None:
    """Control: brackets and dots within strings are no nesting."""
    assert parse_toml(text + "\n# " + "[a." * 100, "x.toml") == tomllib.loads(text)


def test_only_regular_files_of_text_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "wide").write_text("x = 1", encoding="utf-16")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "large").write_bytes(b"#" * (1 << 20))
    (tmp_path / "marked").write_text("x = 1\r\ny = 2\r\n", encoding="utf-8-sig")
    for path, rule in {
        tmp_path: "is a folder", tmp_path / "pipe": "is a pipe", Path("/dev/zero"): "is a device",
        tmp_path / "none": "No such file", tmp_path / "loop": "symbolic links",
        tmp_path / ("n" * 300): "name too long", tmp_path / "nul\0": "null byte",
        tmp_path / "wide": "is UTF-16 and not UTF-8", tmp_path / "large": "is larger than",
    }.items():  # fmt: skip
        with pytest.raises(ConfigError, match=rule):
            read_toml(path)
    assert read_toml(tmp_path / "marked") == {"x": 1, "y": 2}, "control: marks of editors are read"


def test_a_small_file_does_not_unpack_to_a_large_one(tmp_path: Path) -> None:
    """A gigabyte of zeros in 150 kB: refused behind its head, of which the facts are wrong."""
    bomb = tmp_path / "bomb.xz"
    facts = b'{"records": 2, "footprint": 1, "instructions": 9}'
    packer = lzma.LZMACompressor(preset=0)
    zeros = bytes(1 << 24)
    parts = [packer.compress(b"mmusim-trace 1\n" + facts + b"\n")]
    parts += [packer.compress(zeros) for _ in range(8)] + [packer.flush()]
    bomb.write_bytes(b"".join(parts))
    start = time.process_time()
    with pytest.raises(ConfigError, match="cut short or damaged"):
        read_trace(bomb)
    assert time.process_time() - start < 1
