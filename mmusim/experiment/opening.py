"""Opening the run directory of an experiment to make runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import tomli_w

from mmusim.base.inputs import read_text
from mmusim.base.parsing import MOST_TOML
from mmusim.config.resolved import resolved
from mmusim.config.settings import Setting, load_settings
from mmusim.engine.choice import AUTO, resolve
from mmusim.experiment.scheduler import Campaign
from mmusim.store import Store
from mmusim.store.provenance import profile_hash, provenance


@contextmanager
def opened(
    path: str | Path,
    out: str | Path,
    engine: str = AUTO,
    settings: Callable[[Sequence[Setting]], Sequence[Setting]] = lambda of_the_file: of_the_file,
) -> Iterator[Campaign]:
    """Open an experiment's run directory to make runs; close it in the end.

    `settings` may replace the settings of the file by others that belong to the same question.

    Raises
    ------
    ConfigError
        If the file is wrong, `out` belongs to something else or there is no such engine here.
    StoreError
        If `out` cannot be written.
    """
    experiment, of_the_file = load_settings(path)
    engine, made = resolve(engine), settings(of_the_file)
    store = Store.open_for(Path(out), experiment.id, provenance())
    try:
        store.describe({"file": str(path), "text": read_text(path, MOST_TOML)})
        store.add_settings(map(_row, made))
        yield Campaign(experiment=experiment, settings=made, store=store, engine=engine)
    finally:
        store.close()


def _row(setting: Setting) -> tuple[str, str, str, str, str]:
    profile = setting.profile
    config = tomli_w.dumps(resolved(setting))
    return setting.key(), setting.name, config, profile.name, profile_hash(profile)
