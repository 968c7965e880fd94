"""Figures as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from services.kernel.domain.figures import PLAIN_FROM, PLAIN_TO, fixed, kept, percentage, plain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (3.0, "3.0"),
        (0.5, "0.5"),
        (0.2135, "0.2135"),
        (1234.56789, "1234.5679"),
        (0.00004, "0.00004"),
        (0.00001, "0.00001"),
        (0.0000123456, "0.00001235"),
        (0.00099996, "0.001"),
        (-0.00004, "-0.00004"),
        (1e-6, "0.000001"),
        (1e-7, "1e-07"),
        (123456789012.0, "123456789012.0"),
        (1e15, "1000000000000000.0"),
        (math.inf, "inf"),
    ],
)
def test_a_figure_is_written_without_a_power_of_ten(value: float, text: str) -> None:
    assert plain(value) == text


@given(st.floats(PLAIN_FROM, PLAIN_TO * 0.999), st.sampled_from([1, -1]))
def test_no_figure_is_a_zero_or_a_power_of_ten(size: float, sign: int) -> None:
    for text in (plain(sign * size), fixed(sign * size), fixed(sign * size, 1, 1)):
        assert "e" not in text
        assert float(text.replace(",", "")) != 0
    assert float(plain(sign * size)) == kept(sign * size)
    assert kept(size) == pytest.approx(size, rel=5.01e-4)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (1234.5, "1,234.50"),
        (0.5, "0.50"),
        (0.456, "0.46"),
        (0.05, "0.05"),
        (0.0456, "0.046"),
        (0.004, "0.004"),
        (-0.004, "-0.004"),
        (2e-7, "2e-07"),
    ],
)
def test_an_amount_keeps_its_decimals(value: float, text: str) -> None:
    assert fixed(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.00%"), (0.5, "50.00%"), (0.015, "1.50%"), (1e-4, "0.01%"), (1e-5, "0.001%"),
     (1.26e-4, "0.013%"), (1e-7, "0.00001%")],
)  # fmt: skip
def test_a_strict_promise_is_not_none(share: float, text: str) -> None:
    assert percentage(share) == text


def test_a_change_has_its_sign() -> None:
    assert percentage(0.0123, 1, 1, "+") == "+1.2%"
    assert percentage(-0.0004, 1, 1, "+") == "-0.04%"
    assert percentage(0.0, 1, 1, "+") == "+0.0%"
    assert fixed(1.0, 0, 1) == "1"


def test_a_document_keeps_what_is_small() -> None:
    assert [kept(value) for value in (0.00004, 0.213456, 0.00712345, 7.0)] == [
        0.00004,
        0.2135,
        0.007123,
        7.0,
    ]
    assert kept(0.1 + 0.2 - 0.3) == 0.0
    assert (plain(-5e-17), fixed(-5e-17)) == ("0.0", "0.00")
    assert math.isnan(kept(math.nan))
    assert kept(math.inf) == math.inf
