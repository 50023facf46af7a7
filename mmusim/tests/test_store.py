"""A run directory is whole or not there, and says what is wrong with it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from mmusim.errors import ConfigError
from mmusim.store import FORMAT, LEDGER, Store, StoreError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open_for(tmp_path / "out", "one", {"mmusim": "1"})
    made.add_cell("k", "the cell", "[vm]\n")
    return made


def test_what_is_stored_comes_back(store: Store) -> None:
    store.add_run("k", "lazy-drop", 2, "1", 0.5, {"values": {"phase_time": 7}})
    store.add_run("k", "lazy-drop", 1, "1", 0.5, {"values": {"phase_time": 5}})
    store.add_run("k", "lazy-drop", 3, "1", 0.5, None, "lost writes")
    store.add_run("k", "lazy-drop", 1, "2", 0.5, {"values": {}})
    assert store.done("1") == {("k", "lazy-drop", 1), ("k", "lazy-drop", 2)}
    assert [row[2] for row in store.results("1")] == [1, 2], "by seed; other versions apart"
    assert store.cells() == {"k": ("the cell", "[vm]\n")}
    store.close()


def test_a_run_is_there_the_moment_it_ends(store: Store) -> None:
    """Another process sees it although the first neither closed nor asked for anything."""
    store.add_run("k", "none", 1, "1", 0.1, {})
    other = Store.open(store.folder)
    assert other.done("1") == {("k", "none", 1)}
    assert sqlite3.connect(store.folder / LEDGER).execute("PRAGMA journal_mode").fetchone() == (
        "wal",
    )
    other.close()
    store.close()


def test_another_experiment_is_refused(store: Store) -> None:
    store.close()
    with pytest.raises(ConfigError, match="belongs to experiment 'one', not to 'two'"):
        Store.open_for(store.folder, "two", {})


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is not a folder"):
        Store.open_for(tmp_path / "file", "one", {})
    with pytest.raises(ConfigError, match="is missing, so this is no run directory"):
        Store.open(tmp_path)


def test_another_format_is_refused(store: Store) -> None:
    store._db.execute("UPDATE about SET value = '99' WHERE key = 'format'")
    store._db.commit()
    store.close()
    with pytest.raises(ConfigError, match=f"format = '99': is not {FORMAT}"):
        Store.open(store.folder)


def test_a_damaged_ledger_is_named(store: Store) -> None:
    store.close()
    (store.folder / LEDGER).write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(StoreError, match=r"out: cannot be used .*not a database"):
        Store.open(store.folder)


def test_a_ledger_that_could_not_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmusim.store._SCHEMA", "CREATE TABLE about (nonsense; ")
    with pytest.raises(StoreError):
        Store.open_for(tmp_path / "out", "one", {})
    assert list((tmp_path / "out").iterdir()) == []


def test_the_model_version_hashes_rooms_that_exist() -> None:
    from mmusim import provenance

    for room in provenance._MODEL:
        assert (provenance._PACKAGE / room).exists(), room
    assert provenance.model_version().startswith("0.1.0+")
