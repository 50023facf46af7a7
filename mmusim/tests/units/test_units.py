"""The border where people's units are read: what is accepted, what comes back, what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mmusim.base.quantities import Count, Share, Size, Time, known_name
from mmusim.base.units import (
    BYTES,
    NS,
    PAGE,
    PAGES_PER_REGION,
    REGION,
    parse_bytes,
    parse_fraction,
    parse_ns,
    parse_rate,
    show_bytes,
    show_ns,
)

TIME, SIZE, SHARE = TypeAdapter(Time), TypeAdapter(Size), TypeAdapter(Share)


def read(adapter: TypeAdapter[Any], text: object) -> object:
    return adapter.validate_python(text)


def written(adapter: TypeAdapter[Any], value: object) -> object:
    return adapter.dump_python(value, mode="json")


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0ns", 0.0),
        ("1ns", 1.0),
        ("0.25ns", 0.25),
        ("1.5us", 1500.0),
        ("1.5µs", 1500.0),
        ("300ms", 3e8),
        ("2s", 2e9),
        ("2min", 1.2e11),
        ("1_000us", 1e6),
        ("1e3ns", 1000.0),
        ("2.5e-3s", 2.5e6),
        ("  7 ms ", 7e6),
        ("0.1s", 1e8),
        ("23314111ns", 23_314_111.0),
    ],
)
def test_a_time_means_its_number_times_its_unit(text: str, ns: float) -> None:
    assert parse_ns(text) == ns


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0B", 0),
        ("1B", 1),
        ("4KiB", PAGE),
        ("2MiB", REGION),
        ("4GiB", 4 << 30),
        ("1TiB", 1 << 40),
        ("1kB", 1000),
        ("3MB", 3 * 10**6),
        ("2GB", 2 * 10**9),
        ("1.5KiB", 1536),
        ("0.5GB", 5 * 10**8),
        ("1_024KiB", 1 << 20),
        ("4 GiB", 4 << 30),
    ],
)
def test_a_size_means_its_number_times_its_unit(text: str, size: int) -> None:
    parsed = parse_bytes(text)

    assert parsed == size
    assert type(parsed) is int


@pytest.mark.parametrize(
    ("text", "share"), [("0%", 0.0), ("20%", 0.2), ("0.5%", 0.005), ("100%", 1.0), ("7 %", 0.07)]
)
def test_a_share_is_a_number_from_zero_to_one(text: str, share: float) -> None:
    assert parse_fraction(text) == share


def test_a_region_is_512_pages_and_2_mib() -> None:
    assert parse_bytes("4KiB") == PAGE
    assert PAGES_PER_REGION == 512
    assert parse_bytes("2MiB") == REGION


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ms",
        "1",
        "1.ms",
        ".5ms",
        "-",
        "--1ms",
        "-1.ms",
        "+1ms",
        "1,5ms",
        "1 m s",
        "1MS",
        "1h",
        "nan ns",
    ],
)
def test_what_is_no_time_is_refused_with_the_units_and_an_example(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_ns(text)

    assert str(caught.value) == (
        'must be a number and a unit of ns, us, µs, ms, s, min; write e.g. "300ms"'
    )


@pytest.mark.parametrize("text", ["4", "4gib", "4GIB", "4 G", "4KB", "-", "4GiB please", "4096"])
def test_what_is_no_size_is_refused_with_the_units_and_an_example(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_bytes(text)

    assert str(caught.value) == (
        'must be a number and a unit of B, KiB, MiB, GiB, TiB, kB, MB, GB, TB; write e.g. "4GiB"'
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("12466991104B", 12_466_991_104),
        ("1.853 GiB", round(1.853 * (1 << 30))),
        ("38400 kbytes", 38_400 << 10),
        ("1.5B", 2),
        ("2.4999B", 2),
        ("0.3333KiB", 341),
        ("0B", 0),
    ],
)
def test_a_size_is_rounded_to_whole_bytes_halves_up(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["0.4999B", "0.0001KiB", "4194304TiB", "1e99GiB"])
def test_a_size_is_not_rounded_to_nothing_and_fits_62_bits(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be (a byte or more|less than 4 EiB); write e.g."):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["0.2", "20", "20 percent", "-0.2", "%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r'^must be a number and a unit of %; write e.g. "20%"$'):
        parse_fraction(text)


@pytest.mark.parametrize("text", ["100.1%", "200%", "1e9%"])
def test_a_share_is_at_most_everything(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_fraction(text)

    assert str(caught.value) == 'must lie between 0% and 100%; write e.g. "20%"'


LONGEST = math.nextafter(1e18, 0)  # of a time, in nanoseconds
WHOLE_TIMES = st.sampled_from(sorted(NS)).flatmap(
    lambda unit: st.tuples(st.integers(0, int(LONGEST) // NS[unit]), st.just(unit))
)


@settings(deadline=None)
@given(WHOLE_TIMES)
def test_whole_times_are_read_exactly(time: tuple[int, str]) -> None:
    number, unit = time

    assert parse_ns(f"{number}{unit}") == float(number * NS[unit])


@settings(deadline=None)
@given(st.integers(0, 10**7), st.integers(0, 999), st.sampled_from(sorted(NS)))
def test_decimal_times_are_the_nearest_float(whole: int, milli: int, unit: str) -> None:
    """No error of binary fractions gets in before the unit is applied."""
    exact = (Fraction(whole) + Fraction(milli, 1000)) * NS[unit]

    assert parse_ns(f"{whole}.{milli:03d}{unit}") == float(exact)


def test_reading_through_floats_would_not_be_exact() -> None:
    """Negative control: the obvious ``float(number) * unit`` misses the theorem above."""
    naive = [float(f"{n}.001") * NS["us"] for n in range(1000)]
    exact = [float(Fraction(n * 1000 + 1, 1000) * NS["us"]) for n in range(1000)]

    assert naive != exact
    assert [parse_ns(f"{n}.001us") for n in range(1000)] == exact


@settings(deadline=None)
@given(st.integers(0, 1 << 60))
def test_sizes_survive_being_written_and_read(size: int) -> None:
    assert parse_bytes(show_bytes(size)) == size
    assert read(SIZE, written(SIZE, size)) == size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (1, "1B"),
        (1000, "1000B"),
        (1024, "1KiB"),
        (3 * PAGE, "12KiB"),
        (REGION, "2MiB"),
        (REGION + PAGE, "2052KiB"),
        (1 << 40, "1TiB"),
        (BYTES["GiB"] * 1025, "1025GiB"),
    ],
)
def test_a_size_is_shown_in_the_largest_unit_that_divides_it(size: int, text: str) -> None:
    assert show_bytes(size) == text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (0.5, "0.5 ns"),
        (999, "999 ns"),
        (1000, "1 us"),
        (1453, "1.453 us"),
        (11_404_197, "11.4 ms"),
        (23_314_111, "23.31 ms"),
        (2.5e9, "2.5 s"),
        (-1500, "-1.5 us"),
    ],
)
def test_a_time_is_shown_with_four_digits(ns: float, text: str) -> None:
    assert show_ns(ns) == text


@settings(deadline=None)
@given(st.floats(1e-3, 1e15))
def test_a_shown_time_is_right_to_four_digits(ns: float) -> None:
    shown = parse_ns(show_ns(ns).replace("e+", "e"))

    assert shown == pytest.approx(ns, rel=5.1e-4)


@settings(deadline=None)
@given(st.just(0.0) | st.floats(1e-99, LONGEST))
def test_a_time_in_a_file_survives_being_written_and_read_bit_by_bit(ns: float) -> None:
    assert read(TIME, written(TIME, ns)) == ns


@pytest.mark.parametrize("text", ["0.1e-99ns", "9.9e-99ns", f"0.{'0' * 320}5ns"])
def test_the_shortest_time_that_can_be_read_survives_being_written(text: str) -> None:
    """An exponent has two digits, so the writer writes zeros."""
    shortest = read(TIME, text)

    assert read(TIME, written(TIME, shortest)) == shortest
    assert shortest != 0


def test_a_time_shown_to_people_would_not_survive() -> None:
    """Negative control: `show_ns` rounds, so it is not what files are written with."""
    assert parse_ns(show_ns(23_314_111)) != 23_314_111
    assert written(TIME, 23_314_111.0) == "23314111ns"


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0.0, "0ns"), (2e9, "2s"), (3e8, "300ms"), (1.5e9, "1500ms"), (4.5, "4.5ns"), (1e3, "1us")],
)
def test_a_time_is_written_in_the_largest_unit_that_divides_it(ns: float, text: str) -> None:
    assert written(TIME, ns) == text


@settings(deadline=None)
@given(st.integers(0, 10**7))
def test_shares_down_to_a_hundred_thousandth_of_a_percent_survive(parts: int) -> None:
    text = f"{parts // 10**5}.{parts % 10**5:05d}%"
    share = read(SHARE, text)

    assert share == pytest.approx(parts / 10**7, rel=1e-15)
    assert read(SHARE, written(SHARE, share)) == share


@pytest.mark.parametrize("number", [5, 5.0, 0, True, None, ["1us"]])
@pytest.mark.parametrize(
    ("adapter", "example"),
    [(TIME, '"300ms"'), (SIZE, '"4GiB"'), (SHARE, '"20%"')],
    ids=["time", "size", "share"],
)
def test_a_bare_number_is_no_quantity(
    adapter: TypeAdapter[Any], example: str, number: object
) -> None:
    with pytest.raises(ValidationError, match=f"must be text with a unit; write e.g. {example}"):
        read(adapter, number)


def test_a_count_is_at_least_one() -> None:
    counts = TypeAdapter(Count)

    assert counts.validate_python(1) == 1
    with pytest.raises(ValidationError):
        counts.validate_python(0)


def test_a_known_name_is_returned_and_an_unknown_one_gets_the_nearest() -> None:
    assert known_name("fruit", "apple", ["apple", "pear"]) == "apple"
    with pytest.raises(ValueError, match=r"^is not a fruit; did you mean 'apple'\?$"):
        known_name("fruit", "aple", ["pear", "apple"])
    with pytest.raises(ValueError, match=r"^is not a fruit; known: apple, pear$"):
        known_name("fruit", "xyzzy", ["pear", "apple"])
    with pytest.raises(ValueError, match=r"^is not a fruit; known: postcopy_after, zero_pages$"):
        known_name("fruit", "dirty_rate", ["zero_pages", "postcopy_after"])  # not alike


@pytest.mark.parametrize(
    ("ns", "text"), [(999_999.9, "1 ms"), (999.99999, "1 us"), (-999.99999, "-1 us")]
)
def test_rounding_carries_into_the_next_unit(ns: float, text: str) -> None:
    assert show_ns(ns) == text


@pytest.mark.parametrize("text", ["1e18ns", "1e9s", "1e99min", "16666667min", f"1{'0' * 400}s"])
def test_a_time_is_shorter_than_30_years(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_ns(text)

    assert str(caught.value) == 'must be shorter than 30 years; write e.g. "300ms"'


def test_a_time_just_below_30_years_is_read() -> None:
    """Negative control: 1e18 ns are 31.7 years."""
    assert parse_ns(f"{int(LONGEST)}ns") == parse_ns("999999999.9999999s") == LONGEST < 1e18


@pytest.mark.parametrize(
    ("parse", "text", "example"),
    [
        (parse_ns, "-1ms", "300ms"), (parse_bytes, "-4MiB", "4GiB"),
        (parse_bytes, " - 4 MiB", "4GiB"),
        (parse_rate, "-1MiB/s", "128MiB/s"), (parse_fraction, "-1%", "20%"),
    ],
)  # fmt: skip
def test_what_is_negative_is_told_so(
    parse: Callable[[str], float], text: str, example: str
) -> None:
    with pytest.raises(ValueError, match=f'^must not be negative; write e.g. "{example}"$'):
        parse(text)


@pytest.mark.parametrize("parse", [parse_ns, parse_bytes, parse_fraction])
@pytest.mark.parametrize("exponent", ["100", "400", "9999999", "-100", "+100", ""])
def test_an_exponent_has_one_or_two_digits(parse: Callable[[str], float], exponent: str) -> None:
    """So that no number is beyond float or decimal."""
    units: dict[Callable[[str], float], str] = {
        parse_ns: "s", parse_bytes: "B", parse_fraction: "%"
    }  # fmt: skip
    unit = units[parse]
    with pytest.raises(ValueError, match=r"^must be a number and a unit of "):
        parse(f"1e{exponent}{unit}")

    assert parse(f"1e+00{unit}") == parse(f"1{unit}")


@pytest.mark.parametrize(
    ("text", "rate"),
    [("128MiB/s", 128 << 20), ("10Gbit/s", 1_250_000_000), ("1.5kB/s", 1500), ("0B/s", 0)]
    + [("1986.83MiB/s", round(1986.83 * (1 << 20))), ("935.5 mbps", 116_937_500), ("12bps", 2)]
    + [(f"20{spelling}", 2_500_000_000) for spelling in ("Gb/s", "Gbps", "Gbit/s")],
)
def test_a_rate_is_whole_bytes_per_second(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["128MiB", "128", "MiB/s", "3bps", "20gb/s", "1MB/ms"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be .*; write"):
        parse_rate(text)
