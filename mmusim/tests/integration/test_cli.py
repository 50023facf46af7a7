"""The command line as a person uses it: output, exit status, and what is left behind."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from mmusim.execution.processes import interrupts, unaware_of_ctrl_c
from mmusim.store import LEDGER, Store
from mmusim.tests.support.command_line import mmusim, mmusim_here
from mmusim.tests.support.experiment_files import SMALL
from mmusim.tests.support.places import DATA


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.toml"
    path.write_text(SMALL)
    return path


def test_the_command_line_leaves_nothing_of_its_own_in_logging() -> None:
    """Notices of a second run in this process must not go to the streams of the first."""
    before = list(logging.getLogger("mmusim").handlers)
    assert mmusim_here("policies", "linux-6.13").returncode == 0
    assert logging.getLogger("mmusim").handlers == before


def test_run_answers_reports_and_resumes(small: Path, tmp_path: Path) -> None:
    done = mmusim("run", small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "lazy-drop takes 0.4" in done.stdout
    assert "supported" in done.stdout
    out = tmp_path / "results" / "small"
    assert sorted(p.name for p in out.iterdir()) == [LEDGER, "report.html"]
    assert "Is it faster?" in (out / "report.html").read_text()

    again = mmusim("run", small, "--json", cwd=tmp_path)
    assert "runs, last" not in again.stderr, "nothing was left to run"
    facts = json.loads(again.stdout)
    assert facts["claims"][0]["verdict"] == "supported"
    assert facts["rows"][1]["policy"] == "lazy-drop"

    more = mmusim("run", small, "--seeds", 6, cwd=tmp_path)
    assert "12/12 runs" in more.stderr
    assert "10/12 runs, last" not in more.stderr, "finished runs are not repeated"


def test_one_process_and_two_give_the_same_runs(small: Path, tmp_path: Path) -> None:
    fingerprints = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        assert mmusim("run", small, "--out", out, "--workers", workers).returncode == 0
        store = Store.open(out)
        version = store.about()["mmusim"]
        rows = sorted((c, p, s, r["fingerprint"]) for c, p, s, r in store.results(version))
        fingerprints.append(rows)
        store.close()
    assert fingerprints[0] == fingerprints[1]
    assert len(fingerprints[0]) == 10


def test_a_refuted_claim_is_exit_status_1(small: Path, tmp_path: Path) -> None:
    small.write_text(SMALL.replace("[0.0, 0.9]", "[1.5, 2.0]"))
    done = mmusim_here("run", small, "--out", tmp_path / "out", "--workers", 1)
    assert done.returncode == 1
    assert "refuted" in done.stdout


def test_export_writes_one_row_a_run(small: Path, tmp_path: Path) -> None:
    import pandas as pd

    mmusim_here("run", small, "--out", tmp_path / "out", "--workers", 1)
    for name in ("runs.csv", "runs.parquet"):
        done = mmusim_here("export", tmp_path / "out", "--to", tmp_path / name)
        assert done.returncode == 0, done.stderr
    csv = pd.read_csv(tmp_path / "runs.csv")
    assert len(csv) == 10
    assert {"policy", "seed", "phase_time_ns", "faults", "ledger_hits_ns"} <= set(csv.columns)
    assert (
        pd.read_parquet(tmp_path / "runs.parquet")["phase_time_ns"].tolist()
        == csv["phase_time_ns"].tolist()
    )
    assert mmusim_here("export", tmp_path / "out", "--to", tmp_path / "x.xls").returncode == 2


def test_listings(small: Path) -> None:
    assert "lazy-drop" in mmusim_here("policies").stdout
    assert "c126d94f2c90" in mmusim_here("policies", "lazy-drop").stdout
    assert json.loads(mmusim_here("policies", "none", "--json").stdout)["policy"] == "none"
    assert "skylake-2021" in mmusim_here("hosts").stdout
    rows = json.loads(mmusim_here("hosts", "skylake-2021", "--json").stdout)["rows"]
    assert {row["provenance"] for row in rows} <= {"measured", "published", "derived", "assumed"}
    assert 'memory = "4MiB"' in mmusim_here("show", small).stdout
    assert json.loads(mmusim_here("schema").stdout)["title"] == "Experiment"
    assert "Measure the engines' speed" in mmusim("--help").stdout


def test_conform_prints_a_table_and_says_when_something_differs(tmp_path: Path) -> None:
    recorded = (DATA / "kernel_counters" / "cases.jsonl").read_text().splitlines()
    cases = tmp_path / "some.jsonl"
    cases.write_text("\n".join(recorded[::6]))
    good = mmusim_here("conform", cases)
    assert good.returncode == 0
    assert "10 cases match, 0 differ, 0 unsupported" in good.stdout
    assert re.search(r"linux-6.1 +│ +\d+ │", good.stdout), "totals by kernel"
    line = json.loads(recorded[20])
    line["steps"][0]["pf_taken"] += 1
    (tmp_path / "cases.jsonl").write_text(json.dumps(line))
    bad = mmusim_here("conform", tmp_path / "cases.jsonl")
    assert bad.returncode == 1
    assert re.search(r"1 │ +1 │ w +│ pf_taken │ +9 │ +8", bad.stdout), bad.stdout
    facts = json.loads(mmusim_here("conform", tmp_path / "cases.jsonl", cases, "--json").stdout)
    assert facts["rows"][0]["differences"] == [
        {"step": 1, "op": "w", "key": "pf_taken", "kernel": 9, "simulated": 8}
    ]
    assert sum(row["cases"] for row in facts["kernels"]) == len(facts["rows"]) == 11
    assert sum(row["integers"] - row["equal"] for row in facts["kernels"]) == 1
    assert {row["kernel"] for row in facts["kernels"]} == {"linux-6.1", "linux-6.18"}


# --- wrong input: one clear message, exit status 2, nothing half-written ---------------------------

WRONG = {
    "unknown key": ('memory = "4MiB"', 'memry = "4MiB"', "vm.memry = '4MiB': is not a known key; did you mean 'memory'?"),
    "bad unit": ('"4MiB"', '"4 megs"', "vm.memory = '4 megs': must be a number and a unit of"),
    "no multiple of the backing": ('"4MiB"', '"3MiB"', "must be a whole number of 2 MiB regions with backing = \"2MiB\"; write \"4MiB\", or backing = \"4KiB\""),
    "unknown policy": ('["lazy-drop"]', '["lazy-drp"]', "policies.compare[1] = 'lazy-drp': is not a policy; did you mean 'lazy-drop'?"),
    "illegal combination": ("[driver]", '[driver]\nmanual_protect = "on"', "does not exist in linux-3.7 with policy 'eager-drop': KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 came in 5.2 (from linux-5.2); set vm.kernel = 'linux-5.2', or take the nearest legal combination"),
    "illegal choices": ('compare = ["lazy-drop"]', 'compare = ["lazy-drop", "eager_page_split"]', "this MMU has no eager page splitting, the module parameter does nothing there; set vm.kernel = 'linux-5.18', or take the nearest legal combination, which has large = 'zap'"),
    "unknown kernel": ('"linux-3.7"', '"linux-1.0"', "is not a release of Linux from 2.6.28 to"),
    "ring no power of two": ("[driver]", '[driver]\ndirty-ring-size = 4095', "must be a power of two from 256 to 65536 entries of 16 bytes"),
    "ring below reserve": ("[driver]", '[driver]\ndirty-ring-size = 64', "must be a power of two from 256 to 65536 entries of 16 bytes"),
    "chunk of 65 pages": ('{ do = "read" }', '{ do = "read" }, { do = "sync-dirty-log", chunk = "260KiB" }', "must be a multiple of 64 pages (256KiB)"),
    "unknown preset": ('compare = ["lazy-drop"]', 'compare = ["lazy-drop", "linux-7"]', "is not a release of Linux from 2.6.28 to"),
    "twice the same axis": ('compare = ["lazy-drop"]', 'compare = ["lazy-drop", "tdp+legacy"]', "decides mmu twice, tdp and legacy; leave one part out"),
    "empty phase list": ('[{ do = "write" }, { do = "enable-logging" }, { do = "read" }]', "[]", "driver.phases = []: must not be empty; add at least one entry"),
    "unknown profile": ("xiao-2012-r1", "xiao-2012-r4", "is neither a shipped profile nor a .toml file; did you mean"),
    "broken TOML": ("[vm]", "[vm", "is not valid TOML"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_wrong_input_is_one_message_and_status_2(what: str, small: Path, tmp_path: Path) -> None:
    old, new, message = WRONG[what]
    assert old in SMALL
    small.write_text(SMALL.replace(old, new))
    done = mmusim_here("run", small, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    complaints = 2 if what == "illegal combination" else 1  # one for each policy
    assert len(done.stderr.splitlines()) == complaints
    assert not (tmp_path / "out").exists()


def test_all_errors_of_a_file_are_told_at_once(small: Path, tmp_path: Path) -> None:
    text = SMALL.replace('"4MiB"', '"3MiB"').replace("seeds = 5", "seeds = 0\nsedes = 3")
    small.write_text(text.replace("xiao-2012-r1", "x"))
    done = mmusim_here("run", small, "--out", tmp_path / "out")
    assert len(done.stderr.splitlines()) == 3
    assert all(str(small) in line for line in done.stderr.splitlines())


def test_missing_file(tmp_path: Path) -> None:
    done = mmusim("run", tmp_path / "none.toml")
    assert done.returncode == 2
    assert "cannot be read (No such file or directory); check path" in done.stderr


def test_a_folder_of_another_experiment_is_not_touched(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    mmusim_here("run", small, "--out", out, "--workers", 1)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    small.write_text(SMALL.replace('"small"', '"other"'))
    done = mmusim_here("run", small, "--out", out, "--workers", 1)
    assert done.returncode == 2
    assert "belongs to experiment 'small', not to 'other'; choose another folder" in done.stderr
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


def test_a_folder_with_something_else_in_it_is_not_touched(small: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("...")
    done = mmusim_here("run", small, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "is not empty and is not a run directory" in done.stderr
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_a_read_only_folder(small: Path, tmp_path: Path) -> None:
    """Nobody can write below /proc, not even root."""
    done = mmusim_here("run", small, "--out", "/proc/results")
    assert done.returncode == 2
    notice, error = done.stderr.splitlines()
    assert "notice: 5 seeds can show" in notice
    assert "cannot be used as a run directory" in error


@pytest.mark.untraced
def test_a_full_disk(small: Path, tmp_path: Path) -> None:
    """The file size limit of the process stands in for the disk: the ledger cannot grow."""
    out = tmp_path / "out"
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"sys.argv = ['mmusim', 'run', {str(small)!r}, '--out', {str(out)!r}, '--workers', '1']\n"
        "from mmusim.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "free space" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (out / "report.html").exists()
    finished = mmusim_here("run", small, "--out", out, "--workers", 1)
    assert finished.returncode == 0, "what was stored is whole, and the rest can be run"


LONG_S = 300.0
"""What nobody waits for unless something hangs, however busy the machine is."""


@pytest.mark.parametrize(
    ("runs", "number"),
    [(0, signal.SIGINT), (3, signal.SIGINT), (3, signal.SIGTERM), (3, signal.SIGHUP)],
)
def test_a_signal_keeps_what_was_finished(
    runs: int, number: signal.Signals, small: Path, tmp_path: Path
) -> None:
    """As a terminal sends it, to all processes of the group: those that are still starting too."""
    small.write_text(SMALL.replace("seeds = 5", "seeds = 2000"))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "mmusim", "run", str(small), "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        deadline = time.monotonic() + LONG_S
        while not (workers_of(process.pid) and finished_runs(out) >= runs):
            assert time.monotonic() < deadline, "nothing happens"
            time.sleep(0.02)
        os.killpg(process.pid, number)
        _, stderr = process.communicate(timeout=LONG_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == 128 + number, stderr
    assert f"mmusim: interrupted; finished runs are stored in {out}" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr
    assert runs <= finished_runs(out) < 4000
    assert not (out / "report.html").exists()


@pytest.mark.parametrize("where", ["mmusim.cli", "mmusim.cli.inputs.policies", "rich.table"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("made", ["raise", "raise ValueError from"])
def test_a_signal_while_modules_are_imported_is_one_line(
    where: str, number: signal.Signals, made: str
) -> None:
    """Before the command line is there, while it finds a verb, and while the verb works.

    Libraries make other errors of an interruption, as pydantic does.
    """
    raised = "" if made == "raise" else " error"
    code = (
        "import signal, sys\n"
        "class Strikes:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name != {where!r}: return\n"
        f"        try: signal.raise_signal({int(number)})\n"
        f"        except KeyboardInterrupt as error: {made}{raised}\n"
        "sys.meta_path.insert(0, Strikes())\n"
        "sys.argv = ['mmusim', 'policies']\n"
        "from mmusim.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + number, done.stdout + done.stderr
    assert done.stderr == "mmusim: interrupted\n"


@pytest.mark.parametrize("forgets", [True, False])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_within_code_given_as_text_is_told_by_the_status(
    number: signal.Signals, forgets: bool, tmp_path: Path
) -> None:
    """As libraries make classes, with ``python -m``. Control: Python then ends by SIGINT."""
    (tmp_path / "run_as_module.py").write_text(
        "import mmusim.__main__ as command_line\n"
        f"text = 'import signal; signal.raise_signal({int(number)})'\n"
        "command_line._run = lambda: exec(text)\n"
        + ("" if forgets else "command_line.exec = lambda text: None\n")
        + "command_line.main()\n"
    )
    command = [sys.executable, "-m", "run_as_module"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stderr == "mmusim: interrupted\n"
    assert done.returncode == (128 + number if forgets else -signal.SIGINT)


@pytest.mark.parametrize(
    ("verb", "closed", "status", "said"),
    [
        (["policies"], [1], 0, ""),
        (["show", "nowhere.toml"], [1], 2, "mmusim: nowhere.toml: file: cannot be read"),
        (["show", "nowhere.toml"], [2], 2, ""),
        (["policies"], [1, 2], 0, ""),
        (["policies"], [0], 0, ""),
    ],
)
def test_closed_streams_change_no_exit_status(
    verb: list[str], closed: list[int], status: int, said: str
) -> None:
    """As ``>&-`` of a shell leaves them."""
    command = [sys.executable, "-m", "mmusim", *verb]
    shell = " ".join(["exec", '"$@"', *(f"{fd}>&-" for fd in closed)])
    done = subprocess.run(
        ["sh", "-c", shell, "sh", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == bool(said)


def test_python_without_docstrings_has_the_same_verbs() -> None:
    """``PYTHONOPTIMIZE=2`` removes docstrings, also those that are titles in the help."""
    helped = {
        level: subprocess.run(
            [sys.executable, "-m", "mmusim", "--help"], capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONOPTIMIZE": level},
        ).stdout.partition("Options:")[2]
        for level in ("", "2")
    }  # fmt: skip
    assert helped[""] == helped["2"]
    assert "Answer a question:" in helped["2"]


def workers_of(pid: int) -> list[str]:
    """The worker processes that a run has started so far."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(FileNotFoundError):  # it has ended
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


def test_ctrl_c_does_not_strike_where_locks_are_held() -> None:
    """The first is remembered until the loop asks for it; the second is not waited for."""
    with interrupts() as interrupted:
        signal.raise_signal(signal.SIGINT)
        assert interrupted.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_processes_that_are_being_started_do_not_know_ctrl_c() -> None:
    code = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"

    def child() -> str:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout

    with unaware_of_ctrl_c():
        assert child() == "True\n"
    assert child() == "False\n", "control"


def finished_runs(out: Path) -> int:
    if not (out / LEDGER).exists():
        return 0
    db = sqlite3.connect(out / LEDGER)
    (count,) = db.execute("SELECT count(*) FROM runs WHERE state = 'done'").fetchone()
    db.close()
    return int(count)


def test_a_failed_run_is_named_and_stops_nothing_else(small: Path, tmp_path: Path) -> None:
    """A policy from outside that loses writes: its runs fail, the others are stored."""
    package = tmp_path / "plugin"
    (package / "bad-1.0.dist-info").mkdir(parents=True)
    (package / "bad-1.0.dist-info" / "METADATA").write_text("Name: bad\nVersion: 1.0\n")
    (package / "bad-1.0.dist-info" / "entry_points.txt").write_text(
        "[mmusim.policies]\nbad = bad_policy\n"
    )
    (package / "bad_policy.py").write_text(
        "from mmusim.policies import Policy\nfrom mmusim.mmu.spte import Edit\n\n\n"
        "class Lazy2013(Policy, name='lazy-2013'):\n"
        '    """Makes large sptes writable on the fast path."""\n\n'
        "    def protect(self, spte):\n        return Edit.WRITE_PROTECT\n\n"
        "    def fast_path(self, spte, tracked):\n        return spte.mmu_writable\n"
    )
    text = SMALL.replace('["lazy-drop"]', '["lazy-drop", "lazy-2013"]')
    small.write_text(text.replace('{ do = "read" }', '{ do = "write" }, { do = "get-dirty-log" }'))
    out = tmp_path / "out"
    done = mmusim("run", small, "--out", out, PYTHONPATH=str(package))
    assert done.returncode == 1
    assert "lazy-2013 seed 1: policy 'lazy-2013' lost writes" in done.stdout
    assert "in phase 3 (write): its table fast_path let them through" in done.stdout
    assert finished_runs(out) == 10
