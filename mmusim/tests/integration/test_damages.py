"""A damaged ledger is told in one message; doing what it says gives the tables of a whole one."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mmusim.base.errors import MmusimError
from mmusim.cli import app
from mmusim.cli.results.export import export
from mmusim.experiment.run import opened, run_experiment
from mmusim.store import LEDGER, Store
from mmusim.store.guarded import DamagedError
from mmusim.tests.support.damages import DAMAGES, a_stale_index
from mmusim.tests.support.experiment_files import MINIMAL

TINY = (
    MINIMAL.replace('{ do = "write" }', '{ do = "write", pages = "2%" }')
    + '[vm]\nmemory = "2MiB"\n[replications]\nseeds = 3\n'
)
SEEDS = 26
"""Of each kind of damage: 338 in all."""


class Study:
    """A finished run directory and its table."""

    def __init__(self, folder: Path) -> None:
        """Run once."""
        self.file = folder / "tiny.toml"
        self.file.write_text(TINY)
        self.out = folder / "whole"
        self.run(self.out)
        self.table = self.exported(self.out)

    def run(self, out: Path) -> None:
        run_experiment(self.file, out, workers=1, engine="simpy")

    def check_sound(self, out: Path) -> None:
        """Open it as the next run would: there is nothing to mend and nothing to make."""
        with opened(self.file, out, "simpy") as directory:
            assert directory.store.mended() == ()
            assert directory.missing(directory.planned()) == {}

    def trouble(self, out: Path) -> str:
        """Run again; return what is refused, or nothing."""
        try:
            self.run(out)
        except MmusimError as error:
            return str(error)
        return ""

    def exported(self, out: Path) -> bytes:
        to = out.with_suffix(".csv")
        export(out, to)
        return to.read_bytes()

    def verbs(self, out: Path, number: int) -> list[list[str]]:
        """Those that read a run directory; the slow ones take turns."""
        every = [["status", str(out)], ["export", str(out), "--to", str(out.with_suffix(".csv"))]]
        slow = [
            ["report", str(self.file), "--out", str(out)],
            ["publish", str(out), "--to", str(out.with_name("dataset"))],
            ["plot", "ratios", str(self.file), "--out", str(out), "--to", str(out / "x.svg")],
            ["index", str(out.parent)],
        ]
        return [*every, slow[number // 8 % len(slow)]] if number % 8 == 0 else every


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(tmp_path_factory.mktemp("study"))


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_every_damage_is_told_and_its_remedy_works(
    damage: object, study: Study, tmp_path: Path
) -> None:
    assert callable(damage)
    told: Counter[str] = Counter()
    for number in range(SEEDS):
        out = tmp_path / str(number)
        shutil.copytree(study.out, out)
        damage(out / LEDGER, np.random.default_rng(number))
        for verb in study.verbs(out, number):
            done = CliRunner().invoke(app, verb)
            wrong = done.exception
            assert isinstance(wrong, MmusimError | SystemExit | None), (number, verb, wrong)
            told[verb[0] if done.exit_code == 0 else type(wrong).__name__] += 1
            # "; ": SQLite itself calls some damage "free space corruption"
            assert "; free space" not in str(wrong), (number, verb, wrong)
        mended = out
        said = study.trouble(out)
        if said:  # the remedy of what run itself refuses
            assert "choose another folder" in said, (number, said)
            mended = out.with_name(f"{number}-other")
            study.run(mended)
        assert study.exported(mended) == study.table, number
        study.check_sound(mended)
        shutil.rmtree(out)
    assert sum(told.values()) >= 2 * SEEDS


def test_a_stale_index_is_found(study: Study, tmp_path: Path) -> None:
    """SQLite's quick check does not look; "run again" would be said for ever."""
    out = tmp_path / "stale"
    shutil.copytree(study.out, out)
    for number in range(9):
        a_stale_index(out / LEDGER, np.random.default_rng(number))
    with pytest.raises(DamagedError, match="index"):
        Store.open(out)


def test_a_damage_that_sqlite_quotes_as_no_text_is_told_and_mended(
    study: Study, tmp_path: Path
) -> None:
    """SQLite's message quotes the schema, and Python cannot decode it."""
    out = tmp_path / "quoted"
    shutil.copytree(study.out, out)
    data = (out / LEDGER).read_bytes()
    (out / LEDGER).write_bytes(data.replace(b"CREATE TABLE owners", b"CREATE " + b"\xe8" * 12, 1))
    with pytest.raises(DamagedError, match="mmusim run"):
        Store.open(out)
    study.run(out)
    assert study.exported(out) == study.table
    study.check_sound(out)


def test_a_whole_ledger_is_not_called_damaged(study: Study) -> None:
    """Negative control."""
    Store.open(study.out).close()
    assert study.exported(study.out) == study.table
