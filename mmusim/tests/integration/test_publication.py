"""From a run directory to a dataset for everybody, and back."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from mmusim.analysis import load
from mmusim.base.errors import ConfigError
from mmusim.cli import app
from mmusim.cli.results.export import export
from mmusim.experiment.compare_folders import compare_folders
from mmusim.experiment.run import run_experiment
from mmusim.store import Key, Store, StoreError
from mmusim.store import publish as publication
from mmusim.store.dataset import MANIFEST, sha256
from mmusim.store.publish import publish
from mmusim.store.record import pack, unpack
from mmusim.store.run_table import frame
from mmusim.tests.support.experiment_files import MINIMAL
from mmusim.tests.support.places import ROOT

pytest.importorskip("pyarrow", reason="pyarrow is not installed; install mmusim[parquet]")

TWO_SETTINGS = (
    MINIMAL.replace('{ do = "write" }', '{ do = "write", pages = "2%" }')
    + '[vm]\nmemory = "2MiB"\n[replications]\nseeds = 3\n[sweep]\n'
    + '"host.costs.c_exit" = ["1us", "2us"]\n'
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiment, its run directory `out` and the dataset `published`."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "experiment.toml").write_text(TWO_SETTINGS)
    run_experiment(folder / "experiment.toml", folder / "out", workers=1, engine="simpy")
    publish(folder / "out", folder / "published")
    return folder


def test_a_dataset_reads_like_the_run_directory_it_came_from(made: Path, tmp_path: Path) -> None:
    pd.testing.assert_frame_equal(frame(made / "published"), frame(made / "out"))
    for name in ("out", "published"):
        export(made / name, tmp_path / f"{name}.csv")
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "published.csv").read_bytes()
    one, other = (Store.open(made / name) for name in ("out", "published"))
    assert list(one.results()) == list(other.results()), "histograms included"
    assert one.settings() == other.settings()
    assert one.about() == other.about()
    assert one.text() == other.text() == TWO_SETTINGS
    key = next(iter(one.settings()))
    assert one.origin(key, "lazy-drop", 2) == other.origin(key, "lazy-drop", 2)
    one.close()
    other.close()


def test_a_dataset_of_a_dataset_is_the_same_again(made: Path, tmp_path: Path) -> None:
    publish(made / "published", tmp_path / "again")
    pd.testing.assert_frame_equal(frame(tmp_path / "again"), frame(made / "out"))


def test_an_experiment_can_be_answered_from_a_dataset(made: Path) -> None:
    here = load(made / "experiment.toml", made / "out")
    there = load(made / "experiment.toml", made / "published")
    assert [setting.runs for setting in there.settings] == [
        setting.runs for setting in here.settings
    ]
    assert len(there.settings) == 2


def test_duckdb_reads_it_in_the_line_that_the_docs_show(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    duckdb = pytest.importorskip(
        "duckdb", reason="DuckDB is not installed; install mmusim[parquet]"
    )
    text = (ROOT / "docs" / "how-to" / "sweeps.md").read_text()
    (query,) = re.findall(r'duckdb -c "(SELECT .*?)"', text)
    (folder,) = re.findall(r"'([^']+)/runs\.parquet'", query)
    (made / folder).symlink_to(made / "published")
    monkeypatch.chdir(made)
    rows = {row[0]: row[1] for row in duckdb.sql(query).fetchall()}
    runs = frame(made / "out")
    assert rows == pytest.approx(runs.groupby("policy")["phase_time_ns"].mean().to_dict())


def test_every_row_says_where_it_comes_from(made: Path) -> None:
    data = pd.read_parquet(made / "published" / "runs.parquet")
    manifest = json.loads((made / "published" / MANIFEST).read_text())
    assert len(data) == manifest["runs"] == 12
    assert set(data["model_version"]) == {manifest["model_version"]}
    assert set(data["host_profile"]) == {"skylake-2021"}
    assert data["host_profile_hash"].str.fullmatch(r"[0-9a-f]{16}").all()
    assert data["setting_key"].nunique() == 2
    assert set(data["engine"]) == {"simpy"}
    assert not (data[["commit", "python", "platform"]] == "").any().any()
    files = {path.name for path in (made / "published").iterdir()} - {MANIFEST}
    assert set(manifest["files"]) == files
    assert manifest["states"] == {"done": 12, "failed": 0}
    assert manifest["host_profiles"] == {"skylake-2021": data["host_profile_hash"][0]}


@pytest.mark.parametrize("name", ["runs.parquet", "records.parquet", "experiment.toml"])
def test_a_file_that_changed_or_is_missing_is_named(name: str, made: Path, tmp_path: Path) -> None:
    publish(made / "out", tmp_path / "d")
    file = tmp_path / "d" / name
    whole = file.read_bytes()
    file.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    with pytest.raises(StoreError, match=rf"d/{name}: is damaged: its SHA-256"):
        frame(tmp_path / "d")
    file.unlink()
    with pytest.raises(StoreError, match=rf"d/{name}: cannot be read .* incomplete"):
        frame(tmp_path / "d")


def made_old(dataset: Path) -> None:
    """Make a dataset one of format 1, in which settings were cells and operation times bills."""
    records = pd.read_parquet(dataset / "records.parquet").rename(columns={"setting": "cell"})
    records["result"] = [
        pack({"bills" if name == "operation_times" else name: part for name, part in data.items()})
        for data in map(unpack, records["result"])
    ]
    records.to_parquet(dataset / "records.parquet", index=False)
    (dataset / "settings.parquet").rename(dataset / "cells.parquet")
    facts = json.loads((dataset / MANIFEST).read_text())
    names = {*facts["files"], "cells.parquet"} - {"settings.parquet"}
    files = {name: {"sha256": sha256(dataset / name)} for name in names}
    (dataset / MANIFEST).write_text(json.dumps(facts | {"format": 1, "files": files}))


def test_a_dataset_of_format_1_reads_like_the_present_one(made: Path, tmp_path: Path) -> None:
    publish(made / "out", tmp_path / "d")
    made_old(tmp_path / "d")
    now, old = Store.open(made / "published"), Store.open(tmp_path / "d")
    assert list(old.results()) == list(now.results())
    assert old.settings() == now.settings()
    (tmp_path / "d" / "cells.parquet").rename(tmp_path / "d" / "settings.parquet")
    with pytest.raises(StoreError, match=r"d/cells\.parquet: cannot be read"):
        Store.open(tmp_path / "d")
    now.close()
    old.close()


def test_another_format_and_a_broken_manifest_are_refused(made: Path, tmp_path: Path) -> None:
    publish(made / "out", tmp_path / "d")
    manifest = tmp_path / "d" / MANIFEST
    text = manifest.read_text()
    manifest.write_text(text.replace('"format": 2', '"format": 9'))
    with pytest.raises(ConfigError, match=r"format = 9: is not 2.*read it with the mmusim"):
        frame(tmp_path / "d")
    manifest.write_text(text[:40])
    with pytest.raises(StoreError, match=r"manifest\.json: cannot be read"):
        frame(tmp_path / "d")


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.pop("model_version"),
        lambda facts: facts.update(about=[]),
        lambda facts: facts.update(files=["runs.parquet"]),
        lambda facts: facts["files"].pop("records.parquet"),
        lambda facts: facts["files"].update({"../runs.parquet": {"sha256": "0"}}),
        lambda facts: facts["files"].update({"runs.parquet": "0"}),
    ],
)
def test_a_manifest_that_lacks_something_is_refused(
    change: Callable[[dict[str, Any]], Any], made: Path, tmp_path: Path
) -> None:
    publish(made / "out", tmp_path / "d")
    manifest = tmp_path / "d" / MANIFEST
    facts = json.loads(manifest.read_text())
    change(facts)
    manifest.write_text(json.dumps(facts))
    with pytest.raises(StoreError, match=r"manifest\.json: is incomplete; publish"):
        frame(tmp_path / "d")


def test_a_pipe_in_a_dataset_is_not_waited_for(made: Path, tmp_path: Path) -> None:
    publish(made / "out", tmp_path / "d")
    (tmp_path / "d" / "runs.parquet").unlink()
    os.mkfifo(tmp_path / "d" / "runs.parquet")
    with pytest.raises(StoreError, match=r"runs\.parquet: cannot be read \(no regular file\)"):
        frame(tmp_path / "d")


def test_a_dataset_does_not_change(made: Path) -> None:
    with pytest.raises(ConfigError, match="is a published dataset, which does not change"):
        run_experiment(made / "experiment.toml", made / "published", engine="simpy")


def test_publishing_is_whole_or_not_at_all(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="is there and is not empty"):
        publish(made / "out", made / "published")

    def full(*args: Any) -> None:
        raise OSError(28, "Error writing bytes to file. Detail: [errno 28]")  # as pyarrow does

    monkeypatch.setattr(publication, "_parquet", full)
    with pytest.raises(StoreError, match="cannot be written: No space left on device; free space"):
        publish(made / "out", tmp_path / "d")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match="cannot be written"):
        publish(made / "out", Path("/proc/dataset"))


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    Store.open_for(tmp_path / "out", "one", {}).close()
    with pytest.raises(ConfigError, match="there are none that finished"):
        publish(tmp_path / "out", tmp_path / "d")
    with pytest.raises(ConfigError, match="there are none that finished"):
        compare_folders(tmp_path / "out", tmp_path / "out")


def test_the_dataset_of_another_version_is_read_and_a_ledger_is_not(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dataset is what it was; what somebody goes on with must be of one model."""
    from mmusim.store import reading

    before = frame(made / "published")
    monkeypatch.setattr(reading, "model_version", lambda: "9.9+new")
    pd.testing.assert_frame_equal(frame(made / "published"), before)
    with pytest.raises(
        ConfigError, match=r"model version = '9\.9\+new': is that of this mmusim, but"
    ):
        frame(made / "out")


def test_runs_of_a_setting_that_was_changed_are_not_pooled_with_those_of_the_new_one(
    made: Path, tmp_path: Path
) -> None:
    file = tmp_path / "experiment.toml"
    file.write_text(TWO_SETTINGS)
    run_experiment(file, tmp_path / "out", workers=1, engine="simpy")
    file.write_text(TWO_SETTINGS.replace("2%", "3%"))
    run_experiment(file, tmp_path / "out", workers=1, engine="simpy")
    settings = frame(tmp_path / "out")["setting"].value_counts()
    assert set(settings) == {6}
    assert sorted(re.sub("[0-9a-f]{8}", "#", name) for name in settings.index) == [
        "c_exit=1us", "c_exit=1us [#]", "c_exit=2us", "c_exit=2us [#]",
    ]  # fmt: skip


# --- two of them ----------------------------------------------------------------------------------


def mmusim(*args: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(arg) for arg in args])
    if done.exception and not isinstance(done.exception, SystemExit):
        return 2, str(done.exception)
    return done.exit_code, done.output


def another(made: Path, tmp_path: Path, old: str = "", new: str = "") -> Path:
    """Runs of a changed experiment."""
    assert old in TWO_SETTINGS
    (tmp_path / "experiment.toml").write_text(TWO_SETTINGS.replace(old, new))
    run_experiment(tmp_path / "experiment.toml", tmp_path / "b", workers=1, engine="simpy")
    return tmp_path / "b"


def test_the_same_experiment_run_again_is_the_same_to_the_last_bit(
    made: Path, tmp_path: Path
) -> None:
    """What a colleague does with a dataset: run its experiment.toml, and compare."""
    file = made / "published" / "experiment.toml"
    run_experiment(file, tmp_path / "mine", workers=1, engine="simpy", seeds=4)
    status, told = mmusim("compare", made / "published", tmp_path / "mine")
    assert status == 0
    assert "12 of 12 runs are the same to the last bit; 4 only in B" in told


def test_like_runs_that_differ_are_named_and_exit_status_1(made: Path, tmp_path: Path) -> None:
    b = another(made, tmp_path)
    store = Store.open(b)
    setting, policy, seed, record = list(store.results())[5]
    record["values"]["faults"] += 1
    store.end(Key(setting, policy, seed, "simpy", store.version()), 0.1, record)
    name = store.settings()[setting][0]
    store.close()
    status, told = mmusim("compare", made / "out", b, "--json")
    assert status == 1
    (row,) = json.loads(told)["rows"]
    assert [row[k] for k in ("setting", "policy", "seed", "metric")] == [
        name, policy, seed, "faults",
    ]  # fmt: skip
    assert row["B"] == row["A"] + 1


def test_runs_that_differ_in_one_key_are_compared_across_it_and_else_refused(
    made: Path, tmp_path: Path
) -> None:
    b = another(made, tmp_path, '"2MiB"', '"4MiB"')
    status, told = mmusim("compare", made / "out", b)
    assert status == 2
    assert f"vm.memory: '2MiB' in {made / 'out'}, '4MiB' in {b}: the runs are unlike" in told
    assert told.endswith("compare across it with --across vm.memory")

    status, told = mmusim("compare", made / "out", b, "--across", "vm.memory", "--json")
    assert status == 0
    facts = json.loads(told)
    faults = [row for row in facts["rows"] if row["metric"] == "faults"]
    assert len(faults) == 4
    assert all(row["seeds"] == 3 for row in faults)
    assert all(1.5 < row["B/A"] < 2.5 for row in faults), "twice the memory, twice the faults"
    assert facts["values"] == ["2MiB", "4MiB"]
    status, told = mmusim("compare", made / "out", b, "--across", "vm.memory", "--metric", "faults")
    assert status == 0
    assert "12 runs in both" in told

    status, told = mmusim("compare", made / "out", b, "--across", "vm.vcpus")
    assert status == 2
    assert "vm.memory" in told
    status, told = mmusim("compare", made / "out", made / "out", "--across", "vm.vcpus")
    assert status == 2
    assert "vm.vcpus does not differ, and nothing else does; leave --across out" in told
    unknown = mmusim("compare", made / "out", b, "--across", "vm.memory", "--metric", "speed")
    assert "is not a metric" in unknown[1]


def test_runs_that_differ_in_two_keys_are_refused_naming_both(made: Path, tmp_path: Path) -> None:
    old, new = '"2MiB"\n[repl', '"4MiB"\nbacking = "4KiB"\n[repl'
    b = another(made, tmp_path, old, new)
    for more in ((), ("--across", "vm.memory")):
        status, told = mmusim("compare", made / "out", b, *more)
        assert status == 2
        assert f"vm.backing: '2MiB' in {made / 'out'}, '4KiB' in {b}" in told
        assert "compare runs that differ in one key at most" in told


def test_another_host_is_one_key_and_another_model_is_refused_by_name(
    made: Path, tmp_path: Path
) -> None:
    b = another(made, tmp_path, "skylake-2021", "xiao-2012-r1")
    status, told = mmusim("compare", made / "out", b)
    assert status == 2
    assert told.startswith("host_profile_hash: '")
    assert len(told.splitlines()) == 1
    assert mmusim("compare", made / "out", b, "--across", "host_profile_hash")[0] == 0
    store = Store.open(b)
    for setting, policy, seed, record in list(store.results()):
        store.end(Key(setting, policy, seed, "simpy", "0.0.9+ffff"), 0.1, record)
    with store._db as db:
        db.execute("DELETE FROM runs WHERE version <> '0.0.9+ffff'")
    store.close()
    status, told = mmusim("compare", made / "out", b)
    assert status == 2
    assert re.search(
        r"model_version: '\d+\.\d+\.\d+\+\w+' in .*/out, '0\.0\.9\+ffff' in .*/b: ", told
    )


def test_experiments_without_a_common_run_are_refused(made: Path, tmp_path: Path) -> None:
    b = another(made, tmp_path, '["1us", "2us"]', '["3us", "4us"]')
    status, told = mmusim("compare", made / "out", b)
    assert status == 2
    assert "have no run of equal setting, policy and seed; settings are c_exit=1us, c_exit" in told
