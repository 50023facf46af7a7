"""Trajectory fingerprints of the published experiments: ``python mmusim/tests/fingerprints.py``.

Writes ``fingerprints.toml`` beside each experiment file. Run it only when the model is meant to
change, and say in the commit why it does.
"""

from __future__ import annotations

from pathlib import Path

import tomli_w

from mmusim.config.cells import Cell, load_cells
from mmusim.engine import simulate
from mmusim.plan.make import make_plan

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted(ROOT.glob("experiments/*/experiment.toml"))
SEED = 1


def fingerprint(cell: Cell, policy: str) -> str:
    return simulate(make_plan(cell, policy, SEED)).fingerprint


def main() -> None:
    for path in EXPERIMENTS:
        experiment, cells = load_cells(path)
        pinned = {
            cell.name or "the only cell": {p: fingerprint(cell, p) for p in experiment.policies.all}
            for cell in cells
        }
        (path.parent / "fingerprints.toml").write_text(tomli_w.dumps({f"seed-{SEED}": pinned}))


if __name__ == "__main__":
    main()
