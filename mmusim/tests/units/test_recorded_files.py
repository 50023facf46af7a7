"""Recorded runs, published times and samples are read within bounds; else one complaint."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mmusim.base import inputs
from mmusim.base.errors import ConfigError
from mmusim.calibration import samples
from mmusim.calibration.samples import Samples, load_samples
from mmusim.validation import published
from mmusim.validation.live_runs import load_runs

HEAD = '{"format": 1, "facts": {}}'
RUN = {
    "setting": "s", "which": "first", "kind": "measured", "seed": 1, "total_ns": 5.0,
    "latencies": {"bins": [3], "counts": [2], "exact": [6, 3, 3]}, "counters": {"pf_taken": 1},
    "dirty": None, "log_ns": 0.0,
}  # fmt: skip


def packed(path: Path, *lines: str) -> Path:
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def test_recorded_runs_are_read(tmp_path: Path) -> None:
    """Negative control of what follows."""
    runs, facts = load_runs(packed(tmp_path / "r.gz", HEAD, json.dumps(RUN)))
    assert facts == {}
    assert runs[0].latencies.count == 2


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "is not a file of recorded runs"),
        (["[1]"], "is not a file of recorded runs"),
        (['{"format": 2, "facts": {}}'], "format = 2: is not 1"),
        ([HEAD, "{"], "line 2: file: is not JSON"),
        ([HEAD, "[" * 99 + "]" * 99], "line 2: file: nests deeper than"),
        ([HEAD, "[]"], "line 2"),
        ([HEAD, json.dumps(RUN | {"more": 1})], "line 2: more: extra inputs"),
        ([HEAD, json.dumps(RUN | {"seed": "1"})], "line 2: seed: input should be a valid int"),
        ([HEAD, json.dumps(RUN | {"total_ns": -1.0})], "line 2: total_ns: "),
        ([HEAD, json.dumps(RUN | {"latencies": {"bins": [10**9], "counts": [1],
                                                "exact": [1, 1, 1]}})], "line 2: line: latencies"),
        ([HEAD, json.dumps(RUN | {"latencies": {"bins": [1, 2], "counts": [1],
                                                "exact": [1, 1, 1]}})], "line 2: line: latencies"),
    ],
)  # fmt: skip
def test_wrong_recorded_runs_are_one_complaint(lines: list[str], says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as told:
        load_runs(packed(tmp_path / "r.gz", *lines))
    assert says in str(told.value)


def test_gzip_is_unpacked_within_its_bound(tmp_path: Path) -> None:
    path = packed(tmp_path / "bomb.gz", "0" * 100_000)
    assert path.stat().st_size < 1_000
    with pytest.raises(ConfigError, match="unpacks to more than 1,000 bytes"):
        inputs.read_gzip_text(path, 1_000)
    assert len(inputs.read_gzip_text(path, 100_000)) == 100_000, "negative control"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ConfigError, match="is cut short"):
        inputs.read_gzip_text(path, 100_000)
    path.write_bytes(b"no gzip")
    with pytest.raises(ConfigError, match="is not a gzip file of text"):
        inputs.read_gzip_text(path)


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "x"])
def test_published_values_are_finite_times(value: str, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    row = f"i,populate memory,2 vCPU,before,{value},after,1,s"
    path.write_text(",".join(published.COLUMNS) + "\n\n" + row + "\n")
    with pytest.raises(ConfigError, match=r"line 2: value_before = .* is not a number"):
        published.read(path)
    path.write_text(path.read_text().replace(f",{value},", ",0.5,"))
    assert [figure.seconds for figure in published.read(path)] == [0.5, 1.0], "negative control"


def test_a_table_of_a_device_or_without_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a device"):
        published.read(Path("/dev/zero"))
    (tmp_path / "p.csv").write_text("")
    with pytest.raises(ConfigError, match="columns: lacks id"):
        published.read(tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text(",".join(published.COLUMNS) + "\ni,short\n")
    assert published.read(tmp_path / "p.csv") == [], "a row that ends early has no values"


def test_samples_are_read_within_their_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Samples()
    made.add("fault", np.zeros(10_000))
    path = tmp_path / "s.npz"
    made.save(path)
    assert load_samples(path).of("fault").size == 10_000, "negative control"
    with pytest.raises(ConfigError, match="is a device"):
        load_samples(Path("/dev/zero"))
    monkeypatch.setattr(samples, "MOST_UNPACKED", 10_000)
    with pytest.raises(ConfigError, match="it unpacks to 4"):
        load_samples(path)


@pytest.mark.parametrize(
    ("head", "name"), [("[]", "a#0"), ('{"format": 1, "facts": 3}', "a#0"), (HEAD, "no-number")]
)
def test_wrong_samples_are_one_complaint(head: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    np.savez(
        path, allow_pickle=False, head=np.frombuffer(head.encode(), np.uint8), **{name: np.ones(2)}
    )
    with pytest.raises(ConfigError, match="measure again with mmusim probe"):
        load_samples(path)


def test_no_objects_are_unpickled(tmp_path: Path) -> None:
    blob = io.BytesIO()
    np.save(blob, np.array([{}], object), allow_pickle=True)
    path = tmp_path / "s.npz"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("head.npy", blob.getvalue())
    with pytest.raises(ConfigError, match="Object arrays cannot be loaded"):
        load_samples(path)
