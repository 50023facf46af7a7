"""A recorder of dirtying: what Linux tells of a process, and the rates that are made of it."""

from __future__ import annotations

import ctypes
import fcntl
import math
import os
import signal
import struct
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from mmusim.base.errors import ConfigError
from mmusim.process_memory.dirty_rates import Recording, watched
from mmusim.process_memory.mappings import Mapping, within, writable
from mmusim.process_memory.written_pages import PagemapScan, SoftDirty, _soft_dirty, ways
from mmusim.workload.dirty_rate import DirtyRate

PAGES = 3000
PROGRAM = f"""
import ctypes, mmap, sys
memory = mmap.mmap(-1, {PAGES} * 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range({PAGES}):
    memory[page * 4096] = 1
print(ctypes.addressof(ctypes.c_char.from_buffer(memory)), flush=True)
for line in sys.stdin:
    for page in map(int, line.split()):
        memory[page * 4096] = 2
    print(sum(memory[page * 4096] == 2 for page in range({PAGES})), flush=True)
"""
"""A process that writes the pages that it is told to write, and says how many it has written."""


def needs(way: type[PagemapScan] | type[SoftDirty]) -> pytest.MarkDecorator:
    remedy = {
        PagemapScan: "run Linux 6.7 or later with CONFIG_USERFAULTFD on x86-64",
        SoftDirty: "run a kernel with CONFIG_MEM_SOFT_DIRTY",
    }[way]
    return pytest.mark.skipif(way not in ways(), reason=f"the kernel lacks {way.name}; {remedy}")


both = pytest.mark.parametrize(
    "way", [pytest.param(way, marks=needs(way), id=way.name) for way in (PagemapScan, SoftDirty)]
)


class Writer:
    """The process above."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.pid = process, process.pid
        start = int(self.says())
        self.memory = Mapping(start, start + PAGES * 4096, "")

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def writes(self, *pages: int) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, pages)) + "\n")
        self.process.stdin.flush()
        return self.says()

    @property
    def descriptors(self) -> list[str]:
        return sorted(path.name for path in Path(f"/proc/{self.pid}/fd").iterdir())


@pytest.fixture
def writer() -> Iterator[Writer]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        yield Writer(process)
        process.kill()


@both
def test_the_pages_that_were_written_are_told(
    writer: Writer, way: type[PagemapScan] | type[SoftDirty]
) -> None:
    """Exactly these, each once in each interval; and the process runs on as before."""
    asked = way(writer.pid, [writer.memory])
    asked.take()
    assert writer.writes(5, 6, 7, 2999) == "4"
    first = writer.memory.start // 4096
    assert (asked.take() - first).tolist() == [5, 6, 7, 2999]
    assert asked.take().tolist() == [], "control: nothing was written since"
    assert writer.writes(7, 8) == "5"
    assert (asked.take() - first).tolist() == [7, 8]
    asked.close()
    assert writer.writes(9) == "6"
    assert writer.process.poll() is None


def test_a_page_that_the_kernel_tells_twice_in_an_answer_is_found_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Linux 6.18 tells pages beyond the end of the walk that it names. Page 90 is written again
    before the next call, which begins there.
    """
    answers = [([(3, 5), (90, 91)], 40), ([(60, 61), (90, 91)], 100)]
    begins = []

    def ioctl(file: int, request: int, asked: bytearray) -> int:
        del file, request
        start, room = (struct.unpack_from("<Q", asked, at)[0] for at in (16, 40))
        begins.append(start // 4096)
        regions, end = answers[len(begins) - 1]
        rows = (ctypes.c_uint64 * (3 * len(regions))).from_address(room)
        rows[:] = [word for first, last in regions for word in (first * 4096, last * 4096, 2)]
        struct.pack_into("<Q", asked, 32, end * 4096)
        return len(regions)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    asked = PagemapScan.__new__(PagemapScan)
    asked._pid, asked._pagemap, asked.covered = 0, 0, [Mapping(0, 100 * 4096, "")]
    assert asked.take().tolist() == [3, 4, 60, 90]
    assert begins == [0, 40], "control: it asked twice"


@needs(PagemapScan)
def test_a_process_is_left_as_it_was(writer: Writer) -> None:
    """A call that it waited in goes on, no descriptor stays, and signals arrive."""
    before = writer.descriptors
    for _ in range(3):
        asked = PagemapScan(writer.pid, [writer.memory])
        assert len(writer.descriptors) == len(before) + 1, "control"
        asked.close()
        assert writer.descriptors == before
    assert writer.writes(1) == "1"
    status = Path(f"/proc/{writer.pid}/status").read_text()
    assert "TracerPid:\t0" in status
    os.kill(writer.pid, signal.SIGTERM)
    assert writer.process.wait(30) == -signal.SIGTERM


@needs(PagemapScan)
def test_rates_of_a_process_are_found(writer: Writer) -> None:
    """Of 3,000 pages 30 are written in each interval, and 30 others in every third."""
    hot, sometimes, number = range(30), range(100, 130), 0

    def write(_: float) -> None:
        nonlocal number
        writer.writes(*hot, *(sometimes if number % 3 == 0 else ()))
        number += 1

    asked = PagemapScan(writer.pid, [writer.memory])
    made = watched(asked, 0.001, 30, sleep=write)
    asked.close()
    assert made.written[:6] == (60, 30, 30, 60, 30, 30)
    assert len(made.found) == 60
    assert made.always == 30
    assert made.memory_pages == PAGES
    assert sum(made.written) == 30 * 30 + 10 * 30


def recorded(rates: list[tuple[int, float]], count: int, lasts: float) -> Recording:
    """A recording of pages with given rates, by chance."""
    rng = np.random.default_rng(3)
    times = np.concatenate([rng.binomial(count, -math.expm1(-r * lasts), n) for n, r in rates])
    found = times[times > 0]
    return Recording(
        way="a test", intervals_s=(lasts,) * count, written=(int(found.sum()) // count,) * count,
        found=found, memory_pages=len(times),
    )  # fmt: skip


@pytest.mark.parametrize(
    "rates", [[(20_000, 0.4)], [(2_000, 8.0), (10_000, 0.3), (8_000, 0.0)], [(20_000, 0.05)]]
)
def test_a_workload_of_these_rates_dirties_as_the_process_did(
    rates: list[tuple[int, float]],
) -> None:
    """At other times too than the interval; rates page by page would not."""
    made = recorded(rates, 60, 0.1)
    pages = sum(n for n, _ in rates)
    work = DirtyRate.model_validate(made.workload())

    def truth(seconds: float) -> float:
        return sum(n * -math.expm1(-r * seconds) for n, r in rates)

    for seconds in (0.1, 1.0, 3.0, 12.0):
        assert work.dirty_after(pages, pages, seconds) == pytest.approx(truth(seconds), rel=0.06)
    page_by_page = -np.log1p(-np.minimum(made.found, 59.5) / 60) / 0.1
    alone = float(-np.expm1(-page_by_page * 12.0).sum())
    if rates[0][1] < 0.1:
        assert alone < 0.8 * truth(12.0), "control: two fifths of these pages were never found"


def test_soft_dirty_bits_are_read_from_the_right_places(tmp_path: Path) -> None:
    """Bit 55 of the entry of each page (Documentation/admin-guide/mm/pagemap.rst)."""
    entries = np.zeros(10, np.uint64)
    entries[[3, 7]] = np.uint64(1) << np.uint64(55)
    entries[5] = np.uint64(1) << np.uint64(56)  # control: another bit
    (tmp_path / "pagemap").write_bytes(entries.tobytes())
    with (tmp_path / "pagemap").open("rb") as file:
        assert _soft_dirty(file.fileno(), 2, 7).tolist() == [1, 5]


def test_only_memory_that_can_be_written_is_watched(writer: Writer) -> None:
    found = writable(writer.pid)
    assert any(one.name == "[heap]" for one in found)
    assert not any(one.name.endswith(".so") or one.name == "[vdso]" for one in found)
    assert within(found, PAGES * 4096 + 1) != found


@needs(PagemapScan)
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--every", "0.1ms"], "--every = '0.1ms': must lie between 1ms and 60s"),
        (["--at-least", "1TiB"], "leaves no memory of the process"),
        (["--every", "soon"], "--every = 'soon': must be a number and a unit"),
    ],
)
def test_what_cannot_be_watched_is_said(
    writer: Writer, tmp_path: Path, options: list[str], says: str
) -> None:
    done = command(tmp_path, str(writer.pid), *options)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert writer.writes(1) == "1"


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    verb = [sys.executable, "-m", "mmusim", "workload", "watch", *words, "--to", "it.toml"]
    return subprocess.run(verb, capture_output=True, text=True, cwd=folder, check=False)


@needs(PagemapScan)
def test_the_verb_writes_a_workload(writer: Writer, tmp_path: Path) -> None:
    done = command(tmp_path, str(writer.pid), "--every", "20ms", "--times", "5")
    assert done.returncode == 0, done.stderr
    assert "by PAGEMAP_SCAN" in done.stdout
    data = tomllib.loads((tmp_path / "it.toml").read_text())
    assert data["pattern"] == "dirty-rate"
    again = command(tmp_path, str(writer.pid))
    assert "is there already" in again.stderr


def test_a_process_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with suppress(ProcessLookupError):
        for _ in range(100):
            os.kill(process.pid, 0)
            time.sleep(0.05)
    with pytest.raises(ConfigError, match="give the number of a running process"):
        writable(process.pid)
    done = command(tmp_path, str(process.pid))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
