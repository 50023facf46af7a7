"""What stands beside a ledger: files of SQLite, links, rows of processes that have died."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmusim.base.errors import ConfigError
from mmusim.experiment.run import run_experiment
from mmusim.report.page import write_report
from mmusim.store import LEDGER, Key, Store, owners
from mmusim.store.guarded import StoreError, explained
from mmusim.store.provenance import model_version
from mmusim.store.schema import BESIDE, UNFINISHED

HERE = model_version()
SMALL = """
schema = 1
id = "x"
question = "x"
vm = { memory = "4MiB" }
host = { profile = "skylake-2021" }
policies = { baseline = "eager-drop", compare = ["lazy-drop"] }
driver = { phases = [{ do = "write" }] }
replications = { seeds = 2 }
"""
RUN = Key("k", "lazy-drop", 1, "simpy", HERE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = Store.open_for(tmp_path / "out", "one", {"mmusim": HERE})
    made.add_settings([("k", "the setting", "[vm]\n", "skylake-2021", "abcd")])
    made.queue([RUN])
    made.close()
    return tmp_path / "out"


@pytest.mark.parametrize("name", [LEDGER, *(f"{LEDGER}{end}" for end in BESIDE), UNFINISHED])
def test_a_folder_in_the_place_of_a_file_is_named(name: str, folder: Path) -> None:
    """It was told as lack of space. Control: a regular file there is SQLite's own business."""
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()
    for open_ in (Store.open, lambda place: Store.open_for(place, "one", {})):
        with pytest.raises(ConfigError) as told:
            open_(folder)
        assert f"{name}: is no regular file" in str(told.value)
        assert "move it away" in str(told.value)
        assert "space" not in str(told.value)
    (folder / name).rmdir()
    if name != LEDGER:
        (folder / name).touch()
        Store.open(folder).close()


def test_the_remedy_fits_the_trouble(tmp_path: Path) -> None:
    """Only what has to do with room asks for room."""
    said = {}
    for number in (13, 28, 30, 122):  # EACCES, ENOSPC, EROFS, EDQUOT
        with pytest.raises(StoreError) as told, explained(tmp_path):
            raise OSError(number, os.strerror(number))
        said[number] = "free space" in str(told.value)
    assert said == {13: False, 28: True, 30: False, 122: True}


def test_no_copy_of_a_ledger_follows_a_link(folder: Path, tmp_path: Path) -> None:
    """What is damaged is kept beside the ledger, and a link there is replaced."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    damaged = folder / f"{LEDGER}.damaged"
    damaged.symlink_to(precious)
    (folder / LEDGER).write_bytes(b"hello\n")
    store = Store.open_for(folder, "one", {})
    assert "could not be read" in store.mended()[0]
    store.close()
    assert precious.read_text() == "mine"
    assert not damaged.is_symlink()
    assert damaged.read_bytes() == b"hello\n", "control: the copy was made"


def test_no_report_follows_a_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    file = tmp_path / "x.toml"
    file.write_text(SMALL)
    outcome = run_experiment(file, tmp_path / "out", workers=1, engine="simpy")
    report = tmp_path / "out" / "report.html"
    report.unlink(missing_ok=True)
    report.symlink_to(precious)
    assert write_report(outcome, tmp_path / "out") == report
    assert precious.read_text() == "mine"
    assert not report.is_symlink()
    assert "<html" in report.read_text(), "control: the report was written"


BEGIN = """
import sys
from pathlib import Path
from mmusim.store import Key, Store
store = Store.open(Path(sys.argv[1]))
with store.working() as token:
    print(store.claim([Key(*sys.argv[2:4], 1, *sys.argv[4:])], token)[0][0], flush=True)
    sys.stdin.read()
"""


def test_a_killed_process_leaves_no_row_and_its_run_is_not_running(folder: Path) -> None:
    """Control: while it lives, its row stays and its run is running."""
    command = [sys.executable, "-c", BEGIN, str(folder), *RUN[:2], *RUN[3:]]
    store = Store.open(folder)
    rows = "SELECT token FROM owners"
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        ((theirs,),) = store._db.execute(rows).fetchall()
        with store.working():
            assert (theirs,) in store._db.execute(rows).fetchall()
            assert store.states() == {"queued": 0, "running": 1, "done": 0, "failed": 0}
        other.kill()
        other.wait()
    assert store.states() == {"queued": 1, "running": 0, "done": 0, "failed": 0}
    assert store._db.execute(rows).fetchall() == [(theirs,)], "reading changes nothing"
    with store.working() as mine:
        assert store._db.execute(rows).fetchall() == [(mine,)]
        assert owners.dead(store._db) == []
    assert store._db.execute("SELECT state, owner FROM runs").fetchall() == [("queued", None)]
    store.close()
