"""``mmusim status``: how many runs are queued, running, done and failed."""

from __future__ import annotations

from contextlib import closing

from mmusim.cli.shared.options import AsJson, RunFolder
from mmusim.cli.shared.output import table
from mmusim.store import Store


def status(folder: RunFolder, as_json: AsJson = False) -> None:
    """Print how many runs are queued, running, done and failed, and why they failed."""
    with closing(Store.open(folder)) as store:
        versions = dict.fromkeys([*store.versions(), store.expected()])
        rows = [{"model_version": v, **store.states(v)} for v in versions]
        names = store.settings()
        failed = [
            {
                "setting": names[key.setting][0],
                "policy": key.policy,
                "seed": key.seed,
                "engine": key.engine,
                "error": error,
            }
            for key, error in store.failed()
        ]
    table("Runs", rows, as_json, failed=failed)
    if not as_json:
        table("Failed", failed, False)
