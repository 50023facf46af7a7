"""A run directory is whole or not there, and says what is wrong with it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mmusim.base.errors import ConfigError
from mmusim.experiment.run import run_experiment
from mmusim.store import FORMAT, LEDGER, Key, Store, StoreError, owners
from mmusim.store.guarded import DamagedError
from mmusim.store.provenance import model_version
from mmusim.store.record import Ended, checksum, checksum_of_format_4, pack, seal, unpack
from mmusim.tests.support.command_line import mmusim_here as mmusim
from mmusim.tests.support.experiment_files import MINIMAL

HERE = model_version()


def key(seed: int, version: str = HERE, engine: str = "simpy") -> Key:
    return Key("k", "lazy-drop", seed, engine, version)


def record(seed: int) -> dict[str, Any]:
    return {
        "values": {"phase_time": seed},
        "operation_times": {"get-dirty-log": {"c_copy": seed}},
        "latency": {"bins": list(range(seed, seed + 300))},
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open_for(tmp_path / "out", "one", {"mmusim": HERE})
    made.add_settings([("k", "the cell", "[vm]\n", "skylake-2021", "abcd")])
    return made


def test_what_is_stored_comes_back(store: Store) -> None:
    store.end(key(2), 0.5, {"values": {"phase_time": 7}})
    store.end(key(1), 0.5, {"values": {"phase_time": 5}}, facts={"numpy": "2"})
    store.end(key(3), 0.5, None, "lost writes")
    store.end(key(1, version="2"), 0.5, {"values": {}})
    assert store.done(HERE) == {("k", "lazy-drop", 1), ("k", "lazy-drop", 2)}
    assert list(store.results()) == [
        ("k", "lazy-drop", 1, {"values": {"phase_time": 5}}),
        ("k", "lazy-drop", 2, {"values": {"phase_time": 7}}),
    ], "by seed; other versions apart"
    assert [row[2] for row in store.results("2")] == [1]
    assert store.settings() == {"k": ("the cell", "[vm]\n")}
    assert store.states() == {"queued": 0, "running": 0, "done": 2, "failed": 1}
    store.close()


def test_engines_are_runs_of_their_own_and_one_answer(store: Store) -> None:
    store.end(key(1, engine="simpy"), 0.5, {"by": "simpy"})
    store.end(key(1, engine="compiled"), 0.5, {"by": "compiled"})
    assert store.done(HERE, "compiled") == {("k", "lazy-drop", 1)}
    assert [row[3]["by"] for row in store.results(engine="simpy")] == ["simpy"]
    assert len(list(store.results())) == 1
    store.close()


def test_every_result_says_where_it_comes_from(store: Store) -> None:
    store.end(key(1), 0.5, {"values": {}}, facts={"numpy": "2", "commit": "c0ffee"})
    assert store.origin("k", "lazy-drop", 1) == {
        "config": "[vm]\n", "policy": "lazy-drop", "seed": 1, "engine": "simpy",
        "model_version": HERE, "host_profile": "skylake-2021", "host_profile_hash": "abcd",
        "numpy": "2", "commit": "c0ffee",
    }  # fmt: skip
    with pytest.raises(ConfigError, match="seed 2 is not there"):
        store.origin("k", "lazy-drop", 2)
    store.close()


def test_a_run_is_there_the_moment_it_ends(store: Store) -> None:
    """Another process sees it although the first neither closed nor asked for anything."""
    store.end(key(1), 0.1, {})
    other = Store.open(store.folder)
    assert other.done(HERE) == {("k", "lazy-drop", 1)}
    with closing(sqlite3.connect(store.folder / LEDGER)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()
    store.close()


def test_a_record_is_small_and_its_checksum_is_of_the_run_and_the_result() -> None:
    packed = pack(record(1))
    assert unpack(packed) == record(1)
    assert unpack(packed, summary_only=True) == {"values": {"phase_time": 1}}
    assert len(packed) < len(json.dumps(record(1))) / 2
    whole = Ended("done", 0.5, "here", packed, None)
    others = [
        whole._replace(state="failed"), whole._replace(seconds=0.6),
        whole._replace(provenance=None), whole._replace(result=b""), whole._replace(error="no"),
    ]  # fmt: skip
    sums = {checksum(key(1), one) for one in [whole, *others]} | {checksum(key(2), whole)}
    assert len(sums) == 7


# --- several processes --------------------------------------------------------------------------


def test_no_run_is_claimed_twice(store: Store) -> None:
    keys = [key(seed) for seed in range(4)]
    store.end(keys[2], 0.1, {})
    store.end(keys[3], 0.1, None, "broken")
    other = Store.open(store.folder)
    with store.working() as mine, other.working() as theirs:
        assert store.claim(keys[:1], mine) == [("mine", "")]
        assert other.claim(keys, theirs) == [
            ("busy", ""), ("mine", ""), ("done", ""), ("failed", "broken"),
        ]  # fmt: skip
        assert store.claim(keys[1:2], mine) == [("busy", "")]
    assert store.states()["running"] == 0, "what was not finished went back"
    other.close()
    store.close()


def test_a_dead_process_loses_its_claims_and_a_living_one_does_not(store: Store) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom mmusim.store import Key, Store\n"
        "store = Store.open(Path(sys.argv[1]))\n"
        "with store.working() as token:\n"
        "    print(store.claim([Key('k', 'lazy-drop', 1, 'simpy', sys.argv[2])], token)[0][0],"
        " flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(store.folder), HERE], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        with store.working() as token:
            assert store.claim([key(1)], token) == [("busy", "")]
            other.kill()
            other.wait()
            assert store.claim([key(1)], token) == [("mine", "")]
    store.close()


def test_who_is_alive(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here one looks at the process; of other machines one knows only when they last spoke."""
    db = store._db
    pid = os.getppid()
    rows = {
        "lives": (owners.host(), pid, owners.born(pid), 0.0),
        "number reused": (owners.host(), pid, "1", 0.0),
        "forgotten by this process": (owners.host(), os.getpid(), owners.born(os.getpid()), 0.0),
        "silent elsewhere": ("another", pid, "1", 1e6),
        "speaks elsewhere": ("another", pid, "1", 1e6 + 2),
    }
    for token, row in rows.items():
        db.execute("INSERT INTO owners VALUES (?, ?, ?, ?, ?)", (token, *row))
    monkeypatch.setattr("mmusim.store.owners.time.time", lambda: 1e6 + owners.STALE_S + 1)
    assert set(owners.dead(db)) == {
        "number reused", "forgotten by this process", "silent elsewhere",
    }  # fmt: skip
    db.rollback()
    store.close()


def test_who_works_says_so_now_and_then(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "HEARTBEAT_S", 0.01)
    with store.working() as token:
        ask = "SELECT beat FROM owners WHERE token = ?"
        first = store._db.execute(ask, (token,)).fetchone()
        for _ in range(500):
            if store._db.execute(ask, (token,)).fetchone() > first:
                break
            time.sleep(0.01)
        else:
            raise AssertionError("no beat in five seconds")
    assert store._db.execute("SELECT count(*) FROM owners").fetchone() == (0,)
    store.close()


def test_what_failed_can_be_queued_again(store: Store) -> None:
    store.end(key(1), 0.1, None, "broken")
    store.end(key(2), 0.1, {})
    store.again([key(1), key(2)])
    assert store.states() == {"queued": 1, "running": 0, "done": 1, "failed": 0}
    store.close()


# --- other folders, other formats, damage ---------------------------------------------------------


def test_another_experiment_is_refused(store: Store) -> None:
    store.close()
    with pytest.raises(ConfigError, match="belongs to experiment 'one', not to 'two'"):
        Store.open_for(store.folder, "two", {})


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is not a folder"):
        Store.open_for(tmp_path / "file", "one", {})
    with pytest.raises(ConfigError, match="is missing, so this is not a run directory"):
        Store.open(tmp_path)


def test_another_format_is_refused(store: Store) -> None:
    store._db.execute("UPDATE about SET value = '99' WHERE key = 'format'")
    store._db.commit()
    store.close()
    for opened in (Store.open, lambda folder: Store.open_for(folder, "one", {})):
        with pytest.raises(ConfigError, match=f"format = '99': is not {FORMAT}"):
            opened(store.folder)


def test_runs_of_another_version_only_are_refused_by_name(store: Store) -> None:
    store.end(key(1, version="0.0.9+ffff"), 0.1, {})
    with pytest.raises(ConfigError, match=r"only runs of others: 1 of 0\.0\.9\+ffff; run `mmusim"):
        list(store.results())
    store.close()


FORMAT_2 = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE cells (key TEXT PRIMARY KEY, name TEXT NOT NULL, config TEXT NOT NULL) STRICT;
CREATE TABLE runs (
    cell TEXT NOT NULL, policy TEXT NOT NULL, seed INTEGER NOT NULL, version TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('done', 'failed')),
    seconds REAL NOT NULL, result TEXT NOT NULL,
    PRIMARY KEY (cell, policy, seed, version)
) STRICT;
INSERT INTO about VALUES ('format', '2'), ('experiment', 'one');
INSERT INTO cells VALUES ('k', 'the cell', '[vm]');
INSERT INTO runs VALUES ('k', 'lazy-drop', 1, 'v', 'done', 0.5, '{"values": {"phase_time": 7}}');
INSERT INTO runs VALUES ('k', 'lazy-drop', 2, 'v', 'failed', 0.5, '{"error": "lost writes"}');
"""


def test_a_ledger_of_format_2_is_brought_up_to_date(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / LEDGER)) as db:
        db.executescript(FORMAT_2)
    with pytest.raises(ConfigError, match=r"format = '2'.*`mmusim run` brings it up to date"):
        Store.open(tmp_path)
    store = Store.open_for(tmp_path, "one", {})
    assert f"brought from format 2 to {FORMAT}" in store.mended()[0]
    assert list(store.results("v")) == [("k", "lazy-drop", 1, {"values": {"phase_time": 7}})]
    assert store.states("v")["failed"] == 1
    assert store.settings() == {"k": ("the cell", "[vm]")}
    store.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == [LEDGER, f"{LEDGER}.format-2"]


def made_old(ledger: Path, to: str) -> None:
    """Make a ledger one of format 5, which had other names; of format 4, whose facts had no
    checksums, and whose runs had some of results alone; or of format 3, whose settings had none
    either.
    """
    with closing(sqlite3.connect(ledger)) as db, db:
        db.execute("ALTER TABLE settings RENAME TO cells")
        db.execute("ALTER TABLE runs RENAME COLUMN setting TO cell")
        if to in ("3", "4"):
            db.execute("ALTER TABLE about DROP COLUMN checksum")
        if to == "3":
            db.execute("ALTER TABLE cells DROP COLUMN checksum")
        db.execute("UPDATE about SET value = ? WHERE key = 'format'", (to,))
        if to == "5":
            db.execute("UPDATE about SET checksum = ? WHERE key = 'format'", (seal("format", to),))
        for *row, number in db.execute(
            "SELECT cell, policy, seed, engine, version, state, seconds, provenance, result, error,"
            " rowid FROM runs"
        ).fetchall():
            of, how = Key(*row[:5]), Ended(*row[5:])
            if how.result is not None:
                data = unpack(how.result)
                how = how._replace(result=pack({"bills": data.pop("operation_times"), **data}))
            old: bytes | None = checksum(of, how)
            if to != "5":
                old = None if how.result is None else checksum_of_format_4(of, how.result)
            db.execute(
                "UPDATE runs SET result = ?, checksum = ? WHERE rowid = ?",
                (how.result, old, number),
            )


@pytest.mark.parametrize("old", ["3", "4", "5"])
def test_a_ledger_of_an_old_format_is_brought_up_to_date(old: str, store: Store) -> None:
    """Nothing is lost; a result that is damaged is not taken along."""
    for seed in (1, 2):
        store.end(key(seed), 0.1, record(seed), facts={"numpy": "2"})
    store.end(key(3), 0.2, None, "lost writes")
    store.describe({"text": "as it was"})
    before = store.about(), store.text(), store.failed(), store.durations(), store.made(HERE)
    store.close()
    made_old(store.folder / LEDGER, old)
    with closing(sqlite3.connect(store.folder / LEDGER)) as db, db:
        db.execute("UPDATE runs SET checksum = x'00' WHERE seed = 2")
    with pytest.raises(ConfigError, match=rf"format = '{old}'.*`mmusim run` brings it up to date"):
        Store.open(store.folder)
    anew = Store.open_for(store.folder, "one", {})
    assert f"from format {old} to {FORMAT}; 1 of its runs were damaged" in anew.mended()[0]
    assert [row[3] for row in anew.results()] == [record(1)]
    assert anew.settings() == {"k": ("the cell", "[vm]\n")}
    after = anew.about(), anew.text(), anew.failed(), anew.durations(), anew.made(HERE)
    assert after == (*before[:3], before[3][:1], before[4][:1])
    anew.close()


def test_a_damaged_ledger_of_format_5_that_does_not_say_its_format_is_known_by_its_tables(
    store: Store,
) -> None:
    store.end(key(1), 0.1, record(1))
    store.close()
    made_old(store.folder / LEDGER, "5")
    with closing(sqlite3.connect(store.folder / LEDGER)) as db, db:
        db.execute("DELETE FROM about WHERE key = 'format'")
    anew = Store.open_for(store.folder, "one", {})
    assert f"from format 5 to {FORMAT}; the old file is" in anew.mended()[0]
    assert [row[3] for row in anew.results()] == [record(1)]
    anew.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("runs SET error = 'another' WHERE seed = 2", "its checksum is another"),
        ("runs SET seconds = 9 WHERE seed = 2", "its checksum is another"),
        ("runs SET seconds = 9 WHERE seed = 1", "its checksum is another"),
        ("runs SET provenance = NULL WHERE seed = 1", "its checksum is another"),
        ("about SET value = 'another' WHERE key = 'mmusim'", "the fact 'mmusim' of the folder is"),
        ("about SET key = 'x' WHERE key = 'experiment'", "the fact 'x' of the folder is"),
    ],
)
def test_a_changed_fact_of_a_run_or_of_the_folder_is_found(
    change: str, says: str, store: Store
) -> None:
    """And mended: the run is made again, the fact is written anew."""
    store.end(key(1), 0.1, record(1))
    store.end(key(2), 0.1, None, "lost writes")
    store.close()

    def read() -> None:
        opened = Store.open(store.folder)
        try:
            found = list(opened.results()), opened.failed()
            assert all(found) or change.startswith("runs")
        finally:
            opened.close()

    read()  # negative control
    with closing(sqlite3.connect(store.folder / LEDGER)) as db, db:
        db.execute(f"UPDATE {change}")
    with pytest.raises(DamagedError, match=says):
        read()
    anew = Store.open_for(store.folder, "one", {"mmusim": HERE})
    assert len(anew.mended()) == 1
    assert anew.about()["mmusim"] == HERE
    kept = {row[2] for row in anew.results()} | {of.seed for of, _ in anew.failed()}
    assert kept == ({1, 2} if change.startswith("about") else {1, 2} - {int(change[-1])})
    anew.close()
    read()


def test_a_ledger_of_a_newer_format_is_not_touched(store: Store) -> None:
    store.close()
    with closing(sqlite3.connect(store.folder / LEDGER)) as db, db:
        db.execute("ALTER TABLE about ADD COLUMN more TEXT")
        db.execute("UPDATE about SET value = '7' WHERE key = 'format'")
    before = (store.folder / LEDGER).read_bytes()
    with pytest.raises(ConfigError, match="format = '7': is not 6, the format of this mmusim"):
        Store.open_for(store.folder, "one", {})
    assert (store.folder / LEDGER).read_bytes() == before


def test_a_ledger_that_says_it_is_old_and_is_not_is_mended(store: Store) -> None:
    store.end(key(1), 0.1, record(1))
    store.close()
    with closing(sqlite3.connect(store.folder / LEDGER)) as db, db:
        db.execute("UPDATE about SET value = '3' WHERE key = 'format'")
    anew = Store.open_for(store.folder, "one", {})
    assert [row[3] for row in anew.results()] == [record(1)]
    anew.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE settings SET config = '[vm]' || char(10) || 'vcpus = 2'",
        "UPDATE settings SET name = 'another'",
        "UPDATE settings SET host = 'emerald-rapids'",
        "UPDATE provenance SET facts = '{}'",
    ],
)
def test_a_changed_setting_that_is_valid_is_found_and_its_runs_are_made_again(
    change: str, store: Store
) -> None:
    store.end(key(1), 0.1, record(1), facts={"numpy": "2"})
    store.close()
    Store.open(store.folder).close()  # negative control
    with closing(sqlite3.connect(store.folder / LEDGER)) as db, db:
        db.execute(change)
    with pytest.raises(DamagedError, match=r"not as (it was|they were) written.*mmusim run"):
        Store.open(store.folder)
    anew = Store.open_for(store.folder, "one", {})
    assert "1 are lost and run again" in anew.mended()[0]
    assert anew.done(HERE) == set()
    anew.close()


def test_runs_that_are_still_to_be_made_are_told(tmp_path: Path) -> None:
    """By a notice and the exit status of export; a whole run directory has neither."""
    file = tmp_path / "tiny.toml"
    file.write_text(MINIMAL + '[vm]\nmemory = "2MiB"\n[replications]\nseeds = 3\n')
    out, to = tmp_path / "out", tmp_path / "runs.csv"
    run_experiment(file, out, workers=1, engine="simpy")
    whole = mmusim("export", out, "--to", to)
    assert (whole.returncode, "still to be made" in whole.stderr) == (0, False)
    store = Store.open_for(out, "minimal", {})
    (setting, *_), *_ = store.results()
    store.queue([Key(setting, "lazy-drop", seed, "simpy", HERE) for seed in (98, 99)])
    store.close()
    half = mmusim("export", out, "--to", to)
    assert half.returncode == 1
    assert "2 of 8 runs are still to be made, by `mmusim run`" in half.stderr
    assert len(to.read_text().splitlines()) == 7
    report = mmusim("report", file, "--out", out)
    assert (report.returncode, "2 of 8 runs" in report.stderr) == (0, True)


def test_a_folder_in_the_place_of_the_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / LEDGER).mkdir()
    for opened in (Store.open, lambda folder: Store.open_for(folder, "one", {})):
        with pytest.raises(ConfigError, match="is no regular file, so there is no ledger"):
            opened(tmp_path)


def test_a_file_that_is_no_ledger_is_named(store: Store) -> None:
    store.close()
    (store.folder / LEDGER).write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(
        StoreError, match=r"out: the ledger is damaged .*not a database.*mmusim run"
    ):
        Store.open(store.folder)
    anew = Store.open_for(store.folder, "one", {})
    assert "could not be read" in anew.mended()[0]
    assert (store.folder / f"{LEDGER}.damaged").read_bytes().startswith(b"not a database")
    anew.close()


def test_a_result_that_changed_is_found_and_only_that_is_queued_again(store: Store) -> None:
    for seed in (1, 2, 3):
        store.end(key(seed), 0.1, record(seed))
    store.close()
    ledger = store.folder / LEDGER
    good, whole = pack(record(2)), ledger.read_bytes()
    assert whole.count(good) == 1
    ledger.write_bytes(whole.replace(good, good[:40] + bytes([good[40] ^ 1]) + good[41:]))

    reader = Store.open(store.folder)
    with pytest.raises(StoreError, match=r"damaged .*setting k, lazy-drop, seed 2 \(simpy\)"):
        list(reader.results())
    reader.close()
    mended = Store.open_for(store.folder, "one", {})
    assert [n.partition("run of ")[2] for n in mended.mended()] == [
        "setting k, lazy-drop, seed 2 (simpy) was damaged: it is run again"
    ]
    assert mended.states() == {"queued": 0, "running": 0, "done": 2, "failed": 0}
    assert [row[2] for row in mended.results()] == [1, 3]
    mended.queue([key(2)])
    assert mended.states()["queued"] == 1, "the experiment plans it; another key would stay out"
    mended.close()


def break_a_page(ledger: Path) -> bytearray:
    """Overwrite a part of the page in which run 50 is stored; return what the file is then."""
    whole = bytearray(ledger.read_bytes())
    page = whole.index(pack(record(50))) // 4096 * 4096
    whole[page : page + 200] = b"\xa5" * 200
    ledger.write_bytes(whole)
    return whole


def test_of_a_ledger_with_a_broken_page_everything_else_is_kept(store: Store) -> None:
    seeds = range(1, 101)
    for seed in seeds:
        store.end(key(seed), 0.1, record(seed))
    store.close()
    ledger = store.folder / LEDGER
    whole = break_a_page(ledger)

    mended = Store.open_for(store.folder, "one", {})
    (notice,) = mended.mended()
    left = [seed for _, _, seed, _ in mended.results()]
    assert 90 <= len(left) < 100
    assert 50 not in left
    assert f"was damaged; {len(left)} finished runs could be read, {100 - len(left)} are lost" in (
        notice
    )
    assert {row[2]: row[3] for row in mended.results()} == {seed: record(seed) for seed in left}
    assert mended.settings() == {"k": ("the cell", "[vm]\n")}
    mended.close()
    assert (store.folder / f"{LEDGER}.damaged").read_bytes() == bytes(whole)
    again = Store.open_for(store.folder, "one", {})
    assert again.mended() == (), "mended once"
    again.close()


def test_a_damaged_ledger_is_not_touched_while_another_process_works_on_it(store: Store) -> None:
    for seed in range(100):
        store.end(key(seed), 0.1, record(seed))
    pid = os.getppid()
    with store._db as db:
        row = ("other", owners.host(), pid, owners.born(pid), 0.0)
        db.execute("INSERT INTO owners VALUES (?, ?, ?, ?, ?)", row)
    store.close()
    ledger = store.folder / LEDGER
    whole = break_a_page(ledger)
    with pytest.raises(StoreError, match="is damaged, and another process works on it"):
        Store.open_for(store.folder, "one", {})
    assert ledger.read_bytes() == bytes(whole)


def test_a_read_only_folder_can_be_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """For root no folder is read-only, so the answer of the system is replaced."""
    store.end(key(1), 0.1, record(1))
    monkeypatch.setattr("mmusim.store.schema.os.access", lambda path, mode: False)
    with pytest.raises(StoreError, match="read-only, and its newest runs are not in the ledger"):
        Store.open(store.folder)
    store.close()
    before = sorted(store.folder.iterdir())
    reader = Store.open(store.folder)
    assert list(reader.results()) == [("k", "lazy-drop", 1, record(1))]
    with pytest.raises(StoreError, match="readonly database"):
        reader.end(key(2), 0.1, record(2))
    reader.close()
    assert sorted(store.folder.iterdir()) == before, "and nothing is left there"


def test_a_ledger_that_could_not_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmusim.store.schema.SCHEMA", "CREATE TABLE about (nonsense; ")
    with pytest.raises(StoreError):
        Store.open_for(tmp_path / "out", "one", {})
    assert list((tmp_path / "out").iterdir()) == []
