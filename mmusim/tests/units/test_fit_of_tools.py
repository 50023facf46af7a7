"""What tools and spreadsheets write is read as it is meant, or refused with the reason."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from mmusim.base.errors import ConfigError
from mmusim.base.units import parse_rate
from mmusim.calibration.foreign import read_foreign
from mmusim.calibration.foreign_series import unit_of

BCC = (
    'Tracing 1 functions for "kvm_tdp_page_fault"... Hit Ctrl-C to end.\n^C\n'
    "     nsecs               : count     distribution\n"
    "       512 -> 1023       : 1        |*      |\n"
    "      1024 -> 2047       : 3        |***    |\n\navg = 1500 nsecs, total: 6000, count: 4\n"
)
PERF_FTRACE = (
    "#   DURATION     |      COUNT | GRAPH          |\n"
    "     0 - 1    us |          0 |                |\n"
    "     1 -    2 us |          3 | ###            |\n"
    "   512 - 1024 us |          1 | #              |\n"
    "# statistics  (in usec)\n  total time:   520\n"
)
BPFTRACE_JSON = (
    '{"type": "attached_probes", "data": {"probes": 2}}\n'
    '{"type": "hist", "data": {"@us": [{"min": 1, "max": 1, "count": 3}, '
    '{"min": 2, "max": 3, "count": 0}, {"min": 4, "max": 7, "count": 1}]}}\n'
)
KEYED_JSON = BPFTRACE_JSON.replace("[", '{"7": [', 1).replace("}]}}", "}]}}}")


@pytest.mark.parametrize(
    ("text", "edges", "counts"),
    [
        (BCC, [(512, 1024), (1024, 2048)], [1, 3]),
        (PERF_FTRACE, [(0, 1e3), (1e3, 2e3), (512e3, 1024e3)], [0, 3, 1]),
        (BPFTRACE_JSON, [(1e3, 2e3), (2e3, 4e3), (4e3, 8e3)], [3, 0, 1]),
        (KEYED_JSON, [(1e3, 2e3), (2e3, 4e3), (4e3, 8e3)], [3, 0, 1]),
    ],
)
def test_histograms_of_tools_have_their_bins(
    text: str, edges: list[tuple[float, float]], counts: list[float], tmp_path: Path
) -> None:
    """Inclusive ends become exclusive, and each line has its own unit. Control: one count more."""
    (tmp_path / "h").write_text(text)
    read = read_foreign(tmp_path / "h")
    assert [tuple(bin_) for bin_ in read.edges] == edges
    assert read.counts.tolist() == counts
    (tmp_path / "h").write_text(re.sub(r"\b3(\s+\||\})", r"8\1", text, count=1))
    changed = read_foreign(tmp_path / "h")
    assert changed.counts.sum() == sum(counts) + 5


def test_a_bin_without_an_upper_end_is_told(tmp_path: Path) -> None:
    """Control: a histogram whose bins all end says nothing."""
    (tmp_path / "h").write_text("@us:\n[1, 2)  90 |@@|\n[2, ...)  30 |@|\n")
    assert "30 of 120 observations lie in a bin without" in read_foreign(tmp_path / "h").note
    (tmp_path / "h").write_text("@us:\n[1, 2)  90 |@@|\n[2, 4)  30 |@|\n")
    assert not read_foreign(tmp_path / "h").note


ROWS = ["0.5,10", "1.5,80", "2.5,30"]


@pytest.mark.parametrize(
    "head",
    ["latency_us,count", "latency_us,Frequency", "us,hits", "le_us,n", "latency_us,cumulative",
     "latency_us,quantile", "avg_us,calls"],
)  # fmt: skip
def test_a_row_that_stands_for_many_times_is_not_taken_for_one(head: str, tmp_path: Path) -> None:
    """A table of values and counts gave the median of its values: 1.5 us whatever was counted.

    Controls: a column that numbers the rows, and one with another name.
    """
    (tmp_path / "t").write_text("\n".join([head, *ROWS]) + "\n")
    with pytest.raises(ConfigError, match="a row is not a single time; give the columns low, high"):
        read_foreign(tmp_path / "t", choice=head.partition(",")[0])
    numbered = [f"{row.partition(',')[0]},{i}" for i, row in enumerate(ROWS, 1)]
    for lines in (["latency_us,count", *numbered], ["latency_us,vcpu", *ROWS]):
        (tmp_path / "t").write_text("\n".join(lines) + "\n")
        assert read_foreign(tmp_path / "t").median() == 1500


def test_moments_are_no_times_unless_they_are_named(tmp_path: Path) -> None:
    """200 time stamps a microsecond apart have a plausible median. Control: `latency_us`."""
    rows = "\n".join(f"{i},0" for i in range(200)) + "\n"
    for head in ("timestamp_us,vcpu", "end_ts_us,vcpu"):
        (tmp_path / "t").write_text(f"{head}\n{rows}")
        name = head.partition(",")[0]
        with pytest.raises(ConfigError, match=f"has no times: {name} tells when, .*:{name}$"):
            read_foreign(tmp_path / "t")
        assert read_foreign(tmp_path / "t", choice=name).median() == 99_500
    (tmp_path / "t").write_text(f"latency_us,vcpu\n{rows}")
    assert read_foreign(tmp_path / "t").median() == 99_500


@pytest.mark.parametrize("name", ["faults_per_s", "dirty_MB_s", "rate (KiB ms)", "bytes_us", "b/s"])
def test_rates_are_no_times(name: str) -> None:
    assert not unit_of(name)


@pytest.mark.parametrize("name", ["fault_s", "copy_4kb_s", "wait (s)", "Latency [s]", "wasp_s"])
def test_names_that_look_a_little_like_rates_have_units(name: str) -> None:
    """Negative control of the above."""
    assert unit_of(name) == "s"


@pytest.mark.parametrize(
    "text",
    ["sep=;\r\nlatency_us;task\r\n1,5;a\r\n", "sep=;\nlatency_us;task\n1.5;a\n1.5;b\n",
     "sep=,\nlatency_us,task\n1.5,a\n", "Latency [us]\n1.5\n"],
)  # fmt: skip
def test_spreadsheets(text: str, tmp_path: Path) -> None:
    """Those with decimal commas are refused with a remedy."""
    (tmp_path / "t").write_text(text)
    if "1,5" in text:
        with pytest.raises(ConfigError, match=r"'1,5': has a value that .* with a point"):
            read_foreign(tmp_path / "t")
    else:
        assert read_foreign(tmp_path / "t").median() == 1500


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ioctl(10, KVM_GET_DIRTY_LOG, 0x7ffc) = 0 <0.000123>\n", "strace, whose own stops"),
        ("@ns: count 12, average 1500, total 18000\n", r"write hist\(\) in its place"),
        ('{"latency_us": [1.5, 1.6]}\n', "JSON of no known kind; write the times as a column"),
        ("[1.5, 1.6]\n", "JSON of no known kind"),
        ('{"type": "hist", "data": {"@us": [{"count": 7}]}}\n', "a bin that is not valid"),
        ('{"type": "hist", "data": {"@us": 7}}\n', "a bin that is not valid"),
        ('{"type": "map", "data": {"@us": 7}}\n', "has no histogram of times"),
        ('{"type": "hist", "data": {"@us": [{"max": -1, "count": 7}]}}\n', "has times below zero"),
        ("@us:\n(..., 0)   7 |@|\n[0]   3 |@|\n", "has times below zero"),
        (BCC.replace(" : 3        |***    |", ""), "a bin that is not valid: 1024 -> 2047"),
        (PERF_FTRACE.replace("|          1 | #", ""), "a bin that is not valid: 512 - 1024"),
        ("latency_us\n1_1500\n", "has a value that is not a number in row 1"),
    ],
)
def test_what_is_no_distribution_is_refused_with_what_to_do(
    text: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "t").write_text(text)
    with pytest.raises(ConfigError, match=says):
        read_foreign(tmp_path / "t")


def test_a_spreadsheet_itself_is_told_how_to_be_saved(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as packed:
        packed.writestr("xl/workbook.xml", "<x/>")
    with pytest.raises(ConfigError, match=re.escape("save a spreadsheet (.xlsx, .ods) as CSV")):
        read_foreign(tmp_path / "t.xlsx")


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("134217728 bytes/second", 134_217_728),  # QEMU, info migrate_parameters
        ("9.41 Gbits/sec", 1_176_250_000),  # iperf3
        ("112 MB/sec", 112_000_000),
        ("119.209 MiB/s", 124_999_696),  # libvirt, domjobinfo
    ],
)
def test_rates_as_tools_print_them(text: str, rate: int) -> None:
    """Control: a unit whose size the tools do not agree on is refused."""
    assert parse_rate(text) == rate
    with pytest.raises(ValueError, match="a unit of"):
        parse_rate(text.split()[0] + " MBytes/sec")
