"""Where things lie that tests read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[3]


DATA = ROOT / "mmusim" / "tests" / "data"
