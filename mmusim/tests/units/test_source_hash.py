"""The hash of the model covers every file that decides what a run gives, and only those."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmusim.base.source_hash import PACKAGE, code_hash, hash_of, model_files
from mmusim.store.provenance import model_version

RUN = """
import json, sys
from pathlib import Path
from mmusim.config.settings import load_settings
from mmusim.engine.simulate import simulate
from mmusim.metrics.measure import measure
from mmusim.plan.make import make_plan

setting = load_settings(sys.argv[1])[1][0]
for policy in setting.experiment.policies.all:
    measure(simulate(make_plan(setting, policy, 1), engine=sys.argv[2]))
files = [getattr(m, "__file__", None) for n, m in sys.modules.items() if n.startswith("mmusim.")]
print(json.dumps(files))
"""


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_what_a_run_has_imported_is_in_the_hash(engine: str) -> None:
    """Asked of Python itself, which knows better than the source what was imported."""
    path = PACKAGE.parent / "experiments/read-after-write-protect/experiment.toml"
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(path), engine],
        capture_output=True, text=True, check=True, timeout=600, env=dict(os.environ),
    )  # fmt: skip
    imported = {Path(name) for name in json.loads(done.stdout.splitlines()[-1])}
    assert len(imported) > 50
    assert imported <= set(model_files())


def test_a_change_in_any_such_file_changes_the_hash_and_no_other_does(tmp_path: Path) -> None:
    copy = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("tests", "__pycache__", "*.npz"))
    before = hash_of(copy)
    assert before == code_hash()
    assert f"{model_version()}".endswith(f"+{before}")
    for path in model_files(copy):
        text = path.read_bytes()
        path.write_bytes(text + b"# changed\n")
        assert hash_of(copy) != before, path
        path.write_bytes(text)
    assert hash_of(copy) == before
    others = set(copy.rglob("*.py")) - set(model_files(copy))
    assert {path.relative_to(copy).parts[0] for path in others} >= {"cli", "report", "store"}
    for path in others:
        path.write_bytes(path.read_bytes() + b"# changed\n")
    assert hash_of(copy) == before, "negative control: what only reads results"


def test_a_file_that_is_new_counts_as_soon_as_it_is_imported(tmp_path: Path) -> None:
    copy = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("tests", "__pycache__", "*.npz"))
    before = hash_of(copy)
    (copy / "metrics" / "new.py").write_text("X = 1\n")
    assert hash_of(copy) == before, "nobody imports it"
    (copy / "policies" / "of_mine.py").write_text("X = 1\n")
    with_policy = hash_of(copy)
    assert with_policy != before, "every module in the folder of policies is imported"
    jitter = copy / "metrics" / "jitter.py"
    jitter.write_text(jitter.read_text() + "\ndef late():\n    from mmusim.metrics import new\n")
    edited = hash_of(copy)
    (copy / "metrics" / "new.py").write_text("X = 2\n")
    assert len({before, with_policy, edited, hash_of(copy)}) == 4
