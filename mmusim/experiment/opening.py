"""Opening the run directory of an experiment to make runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import tomli_w

from mmusim.config.resolved import resolved
from mmusim.config.settings import LoadedFile, Setting, load_file
from mmusim.engine.choice import AUTO, resolve
from mmusim.experiment.scheduler import RunDirectory
from mmusim.store import Store
from mmusim.store.provenance import profile_hash, provenance


@contextmanager
def opened(
    file: str | Path | LoadedFile,
    out: str | Path,
    engine: str = AUTO,
    settings: Callable[[Sequence[Setting]], Sequence[Setting]] = lambda of_the_file: of_the_file,
) -> Iterator[RunDirectory]:
    """Open an experiment's run directory to make runs; close it in the end.

    `settings` may replace the settings of the file by others that belong to the same question.

    Raises
    ------
    ConfigError
        If the file is wrong, `out` belongs to something else or there is no such engine here.
    StoreError
        If `out` cannot be written.
    """
    file = load_file(file)
    engine, made = resolve(engine), settings(file.settings)
    store = Store.open_for(Path(out), file.experiment.id, provenance())
    try:
        store.describe({"file": str(file.path), "text": file.text})
        store.add_settings(map(_row, made))
        yield RunDirectory(experiment=file.experiment, settings=made, store=store, engine=engine)
    finally:
        store.close()


def _row(setting: Setting) -> tuple[str, str, str, str, str]:
    profile = setting.profile
    config = tomli_w.dumps(resolved(setting))
    return setting.key(), setting.name, config, profile.name, profile_hash(profile)
