"""Logs of migrations in all their forms: what is known is taken, what is not is asked for by name.

A row of the table is a sample: how it is written, what it says, and what it lacks. Each sample is
made from the same few numbers, and each number is changed once as a control.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from mmusim.base.errors import ConfigError
from mmusim.config.settings import settings_of
from mmusim.migration_logs import experiment_text, libvirt, read_log
from mmusim.migration_logs.experiment_file import Given
from mmusim.migration_logs.formats import OPEN_END
from mmusim.migration_logs.log import MigrationLog
from mmusim.tests.support.migration_log_samples import (
    BASE,
    GIB,
    LANGUAGES,
    SAMPLES,
    qmp,
    quoted,
    raw,
    virsh,
)

KNOWN = Given(vcpus=1, kernel="linux-6.13")


def log_of(folder: Path, text: str) -> MigrationLog:
    path = folder / "a.log"
    path.write_text(text, encoding="utf-8")
    return read_log(path)


@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_known_is_taken(tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    log = log_of(tmp_path, sample.write(BASE))
    for fact, value in sample.reads.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        close = pytest.approx(value, rel=1e-3) if is_number else value
        assert getattr(log, fact) == close, fact


CHANGED = BASE._replace(
    memory=16 * GIB, sent=20 * GIB, left=2 * GIB, ms=90_000, downtime=50, syncs=7, rate=7_000,
    mib_s=100, zero=600_000, normal=2_200_000,
)  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_another_log_says_something_else(tmp_path: Path, name: str) -> None:
    """Negative control: each number that was read comes from the text."""
    sample = SAMPLES[name]
    log = log_of(tmp_path, sample.write(CHANGED))
    constant = {"status", "reason", "setup_ns", "downtime_limit_ns", "auto_converge", "channels",
                "max_bytes_per_s", "postcopy_blocktime_ns"}  # fmt: skip
    if "Cloud" in name:
        constant.add("rounds")
    if name in ("Cloud Hypervisor before 2026", "Proxmox before 6.3"):
        constant |= {"rounds", "total_ns"}
    for fact, value in sample.reads.items():
        if value is not None and fact not in constant:
            assert getattr(log, fact) != value, fact


@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_not_known_is_asked_for_by_name(tmp_path: Path, name: str) -> None:
    """With the option that supplies it; and with it the experiment can be run."""
    sample, given = SAMPLES[name], KNOWN
    log = log_of(tmp_path, sample.write(BASE))
    if sample.asks:
        with pytest.raises(ConfigError) as refused:
            experiment_text(log, "a.log", "a", KNOWN)
        assert tuple(c.key for c in refused.value.complaints) == sample.asks
        for complaint in refused.value.complaints:
            assert f"--{complaint.key}" in complaint.remedy
        given = Given(vcpus=1, kernel="linux-6.13", memory=GIB, bandwidth=10**9)
    made = experiment_text(log, "a.log", "a", given)
    data = tomllib.loads(made.text)
    assert settings_of(data, "a.toml", tmp_path)
    assert data["reported"].get("status", "") == log.status


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (quoted({"return": {}}), "no migration was started"),
        ("Job type:   None\n", "no job was running"),
        ("任务类型：  无\n", "no job was running"),
        (virsh(BASE, operation="Save"), "'Save', which is no migration"),
        (raw(BASE).replace("operation: 5", "operation: 2"), "'2', which is no migration"),
    ],
)
def test_what_is_no_migration_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        log_of(tmp_path, text)


def test_no_two_labels_are_translated_alike() -> None:
    """In any two languages: the English label of a line does not depend on the language."""
    found: dict[str, set[str]] = {}
    for words in LANGUAGES.values():
        for english, other in words.items():
            found.setdefault(libvirt._plain(other), set()).add(english)
    assert {other: names for other, names in found.items() if len(names) > 1} == {}
    assert len(LANGUAGES) > 20


@pytest.mark.parametrize(
    ("status", "key"),
    [("cancelled", "cancel_after"), ("failed", "max_time"), ("active", "max_time")],
)
def test_a_migration_that_ended_otherwise_is_imported_as_such(
    tmp_path: Path, status: str, key: str
) -> None:
    def made(status: str) -> dict[str, Any]:
        text = quoted(qmp(BASE, status, {"error-desc": "broken pipe"}))
        return tomllib.loads(experiment_text(log_of(tmp_path, text), "a.log", "a", KNOWN).text)

    data = made(status)
    assert data["driver"]["migration"][key] == "60s"
    assert (data["reported"]["status"], data["reported"]["reason"]) == (status, "broken pipe")
    assert f"driver.migration.{key}" in data["reported"]["assumed"]
    assert not {"cancel_after", "max_time"} & made("completed")["driver"]["migration"].keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_log_that_is_cut_says_what_its_whole_lines_say(tmp_path: Path, name: str) -> None:
    """Cut at any place, also inside a number. Of JSON the whole pairs count."""
    text = SAMPLES[name].write(BASE).replace("\r", "").rstrip("\n") + "\n"
    said = known_or_refused(tmp_path, text)
    for at in range(1, len(text), max(1, len(text) // 60)):
        cut = known_or_refused(tmp_path, text[:at])
        if "QMP" in str(cut.get("tool")):
            numbers = {k: v for k, v in cut.items() if isinstance(v, (int, float))}
            later = {"page_size", "counts_syncs", "rounds"}
            assert {k: said.get(k) for k in numbers if k not in later} == {
                k: v for k, v in numbers.items() if k not in later
            }
            continue
        whole = known_or_refused(tmp_path, text[: text.rfind("\n", 0, at) + 1])
        if not whole:  # what the tool is recognised by is not in them
            whole = {name: said.get(name) for name in cut}
        assert {**cut, "notes": ()} == {**whole, "notes": ()}, text[:at][-40:]


def known_or_refused(folder: Path, text: str) -> dict[str, Any]:
    try:
        return log_of(folder, text).known()
    except ConfigError:
        return {}


def test_what_is_left_out_of_a_cut_log_is_said(tmp_path: Path) -> None:
    text = virsh(BASE)
    at = text.index("12288.000 MiB") + len("12288.000 MiB")
    assert OPEN_END in log_of(tmp_path, text[:at]).notes
    assert OPEN_END not in log_of(tmp_path, text[: at + 1]).notes, "control"
