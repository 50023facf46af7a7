"""Trajectory fingerprints of the published experiments.

``python -m mmusim.tests.support.fingerprints`` writes ``fingerprints.toml`` beside each experiment
file. Run it only when the model is meant to change, and say in the commit why it does.
"""

from __future__ import annotations

from pathlib import Path

import tomli_w

from mmusim.config.settings import Setting, load_settings
from mmusim.engine import simulate
from mmusim.plan.make import make_plan

ROOT = Path(__file__).parents[3]
EXPERIMENTS = sorted(ROOT.glob("experiments/*/experiment.toml"))
SEED = 1


def fingerprint(setting: Setting, policy: str) -> str:
    return simulate(make_plan(setting, policy, SEED)).fingerprint


def main() -> None:
    for path in EXPERIMENTS:
        experiment, settings = load_settings(path)
        pinned = {
            setting.name or "the only cell": {
                p: fingerprint(setting, p) for p in experiment.policies.all
            }
            for setting in settings
        }
        (path.parent / "fingerprints.toml").write_text(tomli_w.dumps({f"seed-{SEED}": pinned}))


if __name__ == "__main__":
    main()
