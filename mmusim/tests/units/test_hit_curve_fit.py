"""From samples of hits to a curve by pages: on samples that follow a known law."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmusim.calibration.hit_curve import displaced, hit_curve, mixes_of, monotone, pooled
from mmusim.calibration.samples import Samples
from mmusim.config.load import check
from mmusim.config.measured import Curve
from mmusim.kvm.hit_measures import first_writes

SIZES = (4, 8, 16, 32, 64, 128)
DISPLACES = 12.0


def level(mib: float) -> float:
    """Mean of a hit through 4 KiB: 40 ns more for each octave beyond 4 MiB."""
    return 20.0 + 40.0 * float(np.log2(np.clip(mib, 4, 128) / 4))


def measured(seed: int = 1, displaces: float = DISPLACES) -> Samples:
    rng, samples = np.random.default_rng(seed), Samples()
    samples.add("clock", np.zeros(10))

    def drawn(mean: float) -> Any:
        return mean * rng.gamma(4.0, 0.25, 3000)

    for _ in range(4):
        for mib in SIZES:
            for order in ("random", "sequential"):
                samples.add(f"hit/curve/2M/{order}/{mib}", drawn(level(mib) / 2))
                samples.add(f"hit/curve/4K/{order}/{mib}", drawn(level(mib)))
            for percent in (1, 5, 20):
                share = percent / 100
                samples.add(f"hit/mix/{mib}/{percent}", drawn(level(mib * (1 + displaces * share))))
                samples.add(f"hit/exits/{mib}/{percent}", [[20_000 * share, 20_000]])
    return samples


def test_a_curve_and_what_exits_displace_are_found_again() -> None:
    data = hit_curve(measured())
    assert data is not None
    assert data["displaces"] == pytest.approx(DISPLACES, rel=0.15)
    assert data["low"] <= data["displaces"] <= data["high"]
    curve = check(data, Curve, "curve")
    found = curve.of("random")
    assert found is not None
    assert found.pages == tuple(mib * 256 for mib in SIZES)
    for mib, large, walk in zip(SIZES, found.large, found.walk, strict=True):
        assert large.mean() == pytest.approx(level(mib) / 2, rel=0.1, abs=2)
        assert large.mean() + walk.mean() == pytest.approx(level(mib), rel=0.1, abs=2)


def test_exits_that_displace_nothing_are_told_from_those_that_do() -> None:
    data = hit_curve(measured(displaces=0.0))
    assert data is not None
    assert data["displaces"] < 1


def test_mixes_that_were_not_used_for_tables_check_them() -> None:
    """Of a size that is left out of the fit, the mean is as the law says."""
    samples = measured()
    mixes = mixes_of(samples, 0.0)
    means = {mib: level(mib) for mib in SIZES}
    found = displaced(means, [mix for mix in mixes if mix.mib != 16])
    for mix in mixes:
        if mix.mib == 16:
            assert mix.mean_ns == pytest.approx(level(16 * (1 + found * mix.share)), rel=0.15)


def test_without_the_measurement_there_is_no_curve() -> None:
    assert hit_curve(Samples()) is None
    samples = measured()
    for name in samples.names("hit/mix/"):
        del samples.arrays[name]
    assert hit_curve(samples) is None


def test_quantiles_never_descend_with_the_pages() -> None:
    assert pooled(np.array([1.0, 3.0, 2.0, 4.0])).tolist() == [1.0, 2.5, 2.5, 4.0]
    assert pooled(np.array([3.0, 2.0, 1.0])).tolist() == [2.0, 2.0, 2.0]
    rows = monotone([np.array([0.0, 5.0]), np.array([1.0, 4.0])])
    assert [row.tolist() for row in rows] == [[0.0, 4.5], [1.0, 4.5]]


def test_a_write_faults_if_it_is_the_first_to_its_page() -> None:
    gfns, write = np.array([7, 7, 8, 7, 8, 8]), np.array([0, 1, 0, 1, 1, 1], np.bool_)
    assert first_writes(gfns, write).tolist() == [False, True, False, False, True, False]
