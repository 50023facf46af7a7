"""Compare two run directories or datasets: like runs, or runs across one named key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mmusim.base.errors import ConfigError
from mmusim.comparison.compare import Comparison, UnlikeRunsError, compare
from mmusim.metrics.measure import Metrics
from mmusim.metrics.stored import from_record
from mmusim.store import Store
from mmusim.store.reading import Reader
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.metrics import USUAL

IGNORED: Final = (
    "schema", "id", "question", "source", "notes", "claims", "policies", "variants", "sweep",
    "reduced", "reported",
)  # fmt: skip
"""Keys of a configuration that decide no result of a run."""
PAIRING: Final = "replications.pairing"
"""The key of its table that does."""
HOST: Final = "host_profile_hash"
Run = tuple[str, str, int]  # name of the setting, policy, seed


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderComparison:
    """The common runs of two run directories."""

    across: str | None  # the key in which they differ; None: in no key
    values: tuple[Any, Any] | None  # the values of that key, in A and in B
    common: int  # runs that both directories have
    only: tuple[int, int]  # runs that only A or only B has
    differing: list[tuple[str, str, int, str, Any, Any]]  # of like runs: run, metric, A, B
    rows: list[tuple[str, str, Comparison]]  # across: setting, policy, B against A
    notes: list[str]  # other differences: Python, libraries, commit

    @property
    def identical(self) -> bool:
        """Whether the runs are alike, and all common runs are equal to the last bit."""
        return self.across is None and not self.differing


def compare_folders(
    a: Path, b: Path, across: str | None = None, metric: str | None = None
) -> FolderComparison:
    """Compare the runs that two run directories or datasets have in common.

    The function matches settings by their names. Without `across`, everything that decides a result
    must be equal (experiment, model version, engine, host profile, every key of the configuration).
    Then the runs must be equal too; the result names those that are not. With `across`, exactly
    that key must differ, and policies are compared across it on equal seeds, B against A.

    Parameters
    ----------
    a, b : Path
        Run directories or datasets.
    across : str, optional
        The one key that may differ.
    metric : str, optional
        With `across`: the only metric to compare; by default the usual ones.

    Raises
    ------
    ConfigError
        If a folder is not a run directory, has no runs, or if there is no such metric.
    UnlikeRunsError
        If the runs are not alike. The message names every key with both values.
    """
    if metric is not None:
        METRICS.require(metric, "compare", "--metric")
    one, other = _Side(a), _Side(b)
    common = sorted(one.runs.keys() & other.runs.keys())
    if not common:
        raise UnlikeRunsError(
            f"{a} and {b}: have no run of equal setting, policy and seed; settings are "
            f"{_listed(one)} and {_listed(other)}: compare runs of one experiment"
        )
    settings = {run[0] for run in common}
    differences = _differences(one, other, settings)
    _refuse(a, b, differences, across)
    return FolderComparison(
        across=across,
        values=differences[across] if across else None,
        common=len(common),
        only=(len(one.runs) - len(common), len(other.runs) - len(common)),
        differing=[] if across else list(_unequal(one, other, common)),
        rows=list(_compared(one, other, common, metric)) if across else [],
        notes=[
            f"{name}: {here!r} and {there!r}"
            for name, (here, there) in _apart(one.facts, other.facts).items()
        ],
    )


class _Side:
    """One of the folders, read."""

    def __init__(self, folder: Path) -> None:
        store = Store.open(folder)
        try:
            self._read(store)
        finally:
            store.close()

    def _read(self, store: Reader) -> None:
        versions = store.versions()
        if not versions:
            raise ConfigError.of(
                str(store.folder), "runs", None, "there are none that finished", "run `mmusim run`"
            )
        try:
            version = store.version()
        except ConfigError:
            version = list(versions)[-1]  # to be compared, or refused by its name
        settings, hosts = store.settings(), store.hosts()
        made = store.made(version)
        self.facts = {name: value for _, facts in made for name, value in facts.items()}
        self.whole = {
            "experiment": store.about()["experiment"],
            "model_version": version,
            "engine": ", ".join(sorted({key.engine for key, _ in made})),
        }
        self.configs = {name: _flat(config) for name, config in store.configurations().values()}
        for key, (name, _) in settings.items():
            self.configs[name][HOST] = hosts[key][1]
        self.runs: dict[Run, Metrics] = {
            (settings[setting][0], policy, seed): from_record(policy, seed, record)
            for setting, policy, seed, record in store.results(version)
        }


def _listed(side: _Side) -> str:
    names = sorted({run[0] or "(the only one)" for run in side.runs})
    return ", ".join(names[:4]) + (" ..." if len(names) > 4 else "")


def _flat(data: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return a configuration by dotted key, without what decides nothing."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        dotted = f"{before}{key}"
        if dotted in IGNORED or (before == "replications." and dotted != PAIRING):
            continue
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{dotted}.")
        else:
            flat[dotted] = value
    return flat


def _differences(one: _Side, other: _Side, settings: set[str]) -> dict[str, tuple[Any, Any]]:
    """Return the keys in which the sides differ, with the values of the first differing setting."""
    found = _apart(one.whole, other.whole)
    for setting in sorted(settings):
        here, there = one.configs[setting], other.configs[setting]
        apart = {key: (here.get(key), there.get(key)) for key in here.keys() | there.keys()}
        apart = {key: pair for key, pair in sorted(apart.items()) if pair[0] != pair[1]}
        if HOST in apart:  # another host: its name and its costs count as one difference
            apart = {k: v for k, v in apart.items() if not k.startswith(("host.costs.", "host.p"))}
        found = apart | found
    return found


def _apart(here: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        key: (here[key], there[key]) for key in here if key in there and here[key] != there[key]
    }


def _refuse(
    a: Path, b: Path, differences: dict[str, tuple[Any, Any]], across: str | None
) -> None:  # fmt: skip
    rest = {key: pair for key, pair in differences.items() if key != across}
    if across is not None and across not in differences:
        if not differences:
            raise UnlikeRunsError(
                f"{a} and {b}: {across} does not differ, and nothing else does; leave --across out"
            )
        rest = differences
    if rest:
        remedy = (
            f"compare across it with --across {next(iter(rest))}" if len(differences) == 1
            else "compare runs that differ in one key at most"
        )  # fmt: skip
        raise UnlikeRunsError(
            "\n".join(
                f"{key}: {here!r} in {a}, {there!r} in {b}: the runs are unlike; {remedy}"
                for key, (here, there) in rest.items()
            )
        )


def _unequal(
    one: _Side, other: _Side, common: list[Run]
) -> Iterator[tuple[str, str, int, str, Any, Any]]:  # fmt: skip
    for run in common:
        here, there = one.runs[run], other.runs[run]
        if here != there:
            both = here.values.keys() | there.values.keys()
            first = next(
                (k for k in sorted(both) if here.values.get(k) != there.values.get(k)), ""
            )  # fmt: skip
            if first:
                yield *run, first, here.values.get(first), there.values.get(first)
            else:
                yield *run, "fingerprint", here.fingerprint, there.fingerprint


def _compared(
    one: _Side, other: _Side, common: list[Run], metric: str | None
) -> Iterator[tuple[str, str, Comparison]]:  # fmt: skip
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in common:
        groups.setdefault(run[:2], []).append(run)
    for (setting, policy), runs in groups.items():
        sides = [one.runs[run] for run in runs], [other.runs[run] for run in runs]
        for name in (metric,) if metric else USUAL:
            if len(runs) >= 2 and all(name in run.values for side in sides for run in side):
                yield setting, policy, compare(*sides, name)
