"""Runs with drawn costs that failed, as lines of a result."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from mmusim.config.settings import Setting
from mmusim.execution.workers import Job
from mmusim.experiment.scheduler import RunDirectory


def failed_on_hosts(
    directory: RunDirectory,
    settings: Sequence[Setting],
    hosts: int,
    jobs: Iterable[Job],
    seeds: int | None = None,
) -> list[str]:
    """Return a line for each setting and error, with the command that repeats the failed runs.

    Parameters
    ----------
    directory : RunDirectory
        Open on the settings of all hosts (:func:`mmusim.experiment.over_hosts.settings_of_hosts`),
        in its folder within the run directory.
    settings : sequence of Setting
        Those of the file.
    hosts : int
        How many each setting has.
    jobs : iterable of Job
        The runs that count.
    seeds : int, optional
        The number of seeds that was asked for in place of the file's.
    """
    found: dict[tuple[str, str], set[int]] = {}
    for job, error in sorted(directory.failed(jobs).items()):
        number, host = divmod(job.setting, hosts)
        found.setdefault((settings[number].name, error), set()).add(host)
    file = directory.store.about().get("file", f"{directory.experiment.id}.toml")
    given = [] if seeds is None else ["--seeds", str(seeds)]
    out = str(directory.store.folder.parent)
    command = shlex.join(
        ["mmusim", "run", file, "--out", out, *given, "--costs", str(hosts), "--retry-failed"]
    )
    return [
        f"{name} on {len(on)} of {hosts} hosts with drawn costs: {error}; repeat them with: "
        f"{command}".lstrip()
        for (name, error), on in found.items()
    ]
