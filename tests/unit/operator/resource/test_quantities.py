"""Durations and decimals read back what they write, and refuse what is ambiguous."""

from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from services.operator.resource.quantities import (
    format_decimal,
    format_duration,
    parse_decimal,
    parse_duration_s,
    parse_quantity,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("28d", 2419200), ("1.5h", 5400)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "5", 5, "5 m", "m", "-5m", "5w", None, "5m "])
def test_a_duration_needs_its_unit(text: object) -> None:
    with pytest.raises(ValueError, match="must be a duration with its unit"):
        parse_duration_s(text)


@pytest.mark.parametrize("text", ["3651d", "9999999d", "9" * 31 + "d", "9" * 400 + "s"])
def test_a_duration_is_of_some_years_at_most(text: str) -> None:
    """Beyond them a time plus the duration is none that can be told."""
    with pytest.raises(ValueError, match="must be at most 3650d"):
        parse_duration_s(text)
    assert parse_duration_s("3650d") == 3650 * 86400


@given(st.integers(0, 10**10))
def test_durations_read_back(milliseconds: int) -> None:
    assert parse_duration_s(format_duration(milliseconds / 1000)) == pytest.approx(
        milliseconds / 1000, abs=1e-9
    )


@given(st.floats(1e-9, 1e15))
def test_decimals_read_back(value: float) -> None:
    text = format_decimal(value)
    assert "e" not in text
    assert parse_decimal(text) == pytest.approx(value, rel=1e-2)


@pytest.mark.parametrize("value", ["abc", None, True, "inf", float("nan"), []])
def test_what_is_no_decimal(value: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_decimal(value)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("64", 64), ("+64", 64), ("-1", -1), ("64.", 64), (".5k", 500), ("6.4e1", 64),
        ("1e+03", 1000), ("1E3", 1000), ("1E", 10**18), ("1Ei", 2**60), ("64000m", 64),
        ("64000000000n", 64), ("1M", 10**6), ("1.5Ki", 1536), ("100e-2", 1),
    ],
)  # fmt: skip
def test_quantities(text: str, amount: int) -> None:
    """All forms of a number and of a suffix that Kubernetes reads."""
    assert parse_quantity(text) == amount


@pytest.mark.parametrize(
    "text", ["", ".", "k", "1 k", "1K", "1ki", "1kk", "1e", "1e1k", "1e1.5", "0x10", "NaN", "٣"]
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a quantity, e\.g\. 64"):
        parse_quantity(text)


def test_a_quantity_that_nobody_writes_costs_nothing() -> None:
    assert parse_quantity("1e999999999") > Decimal(10) ** 9
    with pytest.raises(ValueError, match="must be a quantity"):
        parse_quantity("9" * 65)


@given(st.integers(-(10**18), 10**18), st.sampled_from(["", "m", "k", "Ki", "e2"]))
def test_a_quantity_is_its_number_times_its_suffix(number: int, suffix: str) -> None:
    scale = {"": 1, "m": Decimal("0.001"), "k": 1000, "Ki": 1024, "e2": 100}[suffix]
    assert parse_quantity(f"{number}{suffix}") == number * scale
