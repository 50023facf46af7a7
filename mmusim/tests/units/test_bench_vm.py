"""The preparation that measurements share, on a VM that only writes down what is asked of it."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from mmusim.kvm.bench import Bench, firsts, others


class Recorder:
    """Stands in for a VM and its vCPU: what was done, in order."""

    pages = 4096

    def __init__(self) -> None:
        self.done: list[tuple[str, list[int]]] = []

    def access(self, gfns: Any, write: Any, *, timed: bool) -> None:
        assert np.all(write)
        assert not timed
        self.done.append(("write", gfns.tolist()))

    def log(self, on: bool) -> None:
        self.done.append(("log", [int(on)]))

    def get_dirty(self, bits: Any) -> int:
        self.done.append(("get", []))
        return 0


def armed() -> tuple[list[tuple[str, list[int]]], list[int]]:
    recorder = Recorder()
    bench = object.__new__(Bench)
    bench.vm, bench.v, bench.bits = cast(Any, recorder), cast(Any, recorder), cast(Any, None)
    return recorder.done, bench.arm(np.random.default_rng(3), 64).tolist()


def test_pages_are_armed_by_the_steps_that_two_measurements_had_each_for_itself() -> None:
    """Negative control: without its last step the pages would be dirty in the next get."""
    done, mapped = armed()
    large = firsts(Recorder.pages).tolist()
    small = others(np.random.default_rng(3), Recorder.pages, 64).tolist()
    assert mapped == small
    steps = [
        ("write", large), ("log", [1]), ("get", []),
        ("write", large), ("write", small), ("get", []),
    ]  # fmt: skip
    assert done == steps
    assert done != steps[:-1]
