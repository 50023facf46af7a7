"""A run directory as a published dataset: Parquet files and a manifest with checksums."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmusim.base.errors import ConfigError
from mmusim.base.machine_errors import reason
from mmusim.store import Store
from mmusim.store.dataset import DATASET_FORMAT, EXPERIMENT, MANIFEST, RUNS, TABLES, parquet, sha256
from mmusim.store.reading import Reader
from mmusim.store.run_table import frame
from mmusim.store.schema import StoreError

if TYPE_CHECKING:
    import pandas as pd


def publish(folder: Path, to: Path) -> dict[str, Any]:
    """Write a run directory as a dataset, whole or not at all; return its manifest.

    ``runs.parquet`` has a row a run: the columns of :func:`mmusim.store.run_table.frame`, and
    where the run comes from. ``records.parquet``, ``settings.parquet`` and ``provenance.parquet``
    let mmusim read the dataset like the run directory. ``manifest.json`` names the files with their
    SHA-256.

    Parameters
    ----------
    folder : Path
        A run directory, or a dataset.
    to : Path
        A folder that does not exist yet, or is empty.

    Raises
    ------
    ConfigError
        If `folder` has no runs, `to` is not empty, or pyarrow is missing.
    StoreError
        If a result is damaged, or `to` cannot be written.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ConfigError.of(
            "--to", str(to), None, "is there and is not empty", "choose an empty or a new folder"
        )
    parquet()
    store = Store.open(folder)
    try:
        return _write(store, to)
    except OSError as error:
        raise StoreError(
            f"{to}: the dataset cannot be written: {reason(error)}; free space or "
            "choose another folder with --to"
        ) from None
    finally:
        store.close()


def _write(store: Reader, to: Path) -> dict[str, Any]:
    version = store.version()
    if not store.versions():
        raise ConfigError.of(
            str(store.folder), "runs", None, "there are none that finished", "run `mmusim run`"
        )
    tables = {name: store.rows(table, version) for name, table in TABLES.items()}
    data = with_origin(store, version)  # a notice says whether runs are still to be made
    to.parent.mkdir(parents=True, exist_ok=True)
    unfinished = to.with_name(f".{to.name}.{uuid.uuid4().hex[:8]}.new")
    unfinished.mkdir()
    try:
        data.to_parquet(unfinished / f"{RUNS}.parquet", index=False, compression="zstd")
        for name, (columns, rows) in tables.items():
            _parquet(unfinished / f"{name}.parquet", columns, rows)
        about = {name: fact for name, fact in store.about().items() if name != "format"}
        (unfinished / EXPERIMENT).write_text(store.text(), encoding="utf-8")
        manifest = {
            "format": DATASET_FORMAT,
            "experiment": about["experiment"],
            "model_version": version,
            "runs": len(data),
            "states": {k: v for k, v in store.states(version).items() if k in ("done", "failed")},
            "host_profiles": dict(sorted(set(store.hosts().values()))),
            "query": f"SELECT * FROM '{RUNS}.parquet'",
            "reproduce": f"mmusim run {EXPERIMENT} --out mine && mmusim compare . mine",
            "about": about,
            "files": {
                path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)}
                for path in sorted(unfinished.iterdir())
            },
        }
        (unfinished / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(to)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return manifest


def with_origin(store: Reader, version: str) -> pd.DataFrame:
    """Return the flat table of runs and where each comes from.

    Columns besides those of :func:`mmusim.store.run_table.frame`: ``setting_key``, ``engine``,
    ``model_version``, ``host_profile``, ``host_profile_hash``, and ``commit``, ``python``,
    ``platform`` of the process that ran it. The setting's key is the hash of its configuration.
    """
    import pandas as pd

    names, hosts = store.settings(), store.hosts()
    rows = {
        key[:3]: {
            "setting": names[key.setting][0], "policy": key.policy, "seed": key.seed,
            "setting_key": key.setting, "engine": key.engine, "model_version": version,
            "host_profile": hosts[key.setting][0], "host_profile_hash": hosts[key.setting][1],
            **{name: facts.get(name, "") for name in ("commit", "python", "platform")},
        }
        for key, facts in reversed(store.made(version))
    }  # fmt: skip
    origin = pd.DataFrame(rows.values())
    return frame(store.folder).merge(origin, on=["setting", "policy", "seed"], validate="1:1")


def _parquet(path: Path, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    import pyarrow as pa

    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    table = pa.table({name: list(column) for name, column in zip(columns, values, strict=True)})
    parquet().write_table(table, path, compression="zstd")
