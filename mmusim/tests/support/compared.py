"""Both engines on many random runs.

``python -m mmusim.tests.support.compared RUNS [SEED]`` compares them on so many random runs, every
fifth also with one event per access, and says what it has done; with ``MMUSIM_BOUNDSCHECK=1``
compiled code checks its indices. It ends at the first difference.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from mmusim.config.settings import Setting
from mmusim.engine.choice import COMPILED
from mmusim.engine.code_cache import BOUNDS
from mmusim.plan.make import make_plan
from mmusim.tests.support.agreement import agree, differences, ends
from mmusim.tests.support.any_run import runs

BATCH = 50  # runs that are drawn from one seed


def compare(count: int, first: int = 0) -> Iterator[int]:
    """Compare both engines on random runs; yield now and then how many there were.

    Raises
    ------
    AssertionError
        If they differ; a note has the run.
    """
    done = 0

    def one(run: tuple[str, Setting], number: int) -> None:
        nonlocal done
        policy, made = run
        try:
            fast = agree(made, policy, number)
            if done % 5 == 0:
                single = ends(make_plan(made, policy, number), COMPILED, run_limit=1)
                assert list(differences(fast, single)) == [], "one event per access"
        except Exception as error:
            error.add_note(f"policy {policy}, seed {number}, {made!r}")
            raise
        done += 1

    batch = 0
    while done < count:
        how = settings(
            max_examples=min(BATCH, count - done), deadline=None, database=None,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate],
        )  # fmt: skip
        drawn = given(runs(by_rates=batch % 8 == 7), st.integers(0, 9999))(one)
        seed(first + batch)(how(drawn))()
        batch += 1
        yield done


def main() -> None:
    """Compare, and say how far it is."""
    count, *first = map(int, sys.argv[1:])
    checked = "bounds checked" if BOUNDS else "bounds not checked"
    for done in compare(count, *first):
        print(f"{done} runs, no difference, {checked}, {time.process_time():.0f} s", flush=True)


if __name__ == "__main__":
    main()
