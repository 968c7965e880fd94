"""Builders of expressions: one name of a metric, one expression over exactly one step."""

from __future__ import annotations

import re

import pytest

from services.kernel.domain.presets.promql import Promql, at_edge

ONE = Promql('pod="a"')


def test_each_name_gives_an_expression() -> None:
    assert ONE.sum_rate("x_total", "y_total") == (
        'sum(rate(x_total{pod="a"}[$step]))',
        'sum(rate(y_total{pod="a"}[$step]))',
    )
    assert ONE.mean("x", labels='k="v"') == ('avg(avg_over_time(x{pod="a",k="v"}[$step]))',)
    assert ONE.sum_mean("x") == ('sum(avg_over_time(x{pod="a"}[$step]))',)


def test_quantiles_are_in_milliseconds() -> None:
    inner = 'histogram_quantile(0.95, sum by (le) (rate(x_bucket{pod="a"}[$step])))'
    assert ONE.p95_ms("x") == (f"1000 * {inner}",)
    assert ONE.p95_ms("x", unit_ms=1) == (inner,)


def test_a_mean_is_a_time_over_its_requests() -> None:
    (found,) = ONE.mean_ms("t_us", "n")
    assert found == 'sum(rate(t_us{pod="a"}[$step])) / sum(rate(n{pod="a"}[$step])) / 1000'


@pytest.mark.parametrize(
    ("edge", "matcher", "spellings"),
    [
        (1.0, r'le=~"1|1\\.0"', ["1", "1.0"]),
        (2560, r'le=~"2560|2560\\.0"', ["2560", "2560.0"]),
        (0.5, r'le=~"0\\.5"', ["0.5"]),
        (0.00015000000000000001, r'le=~"0\\.00015000000000000001"', ["0.00015000000000000001"]),
    ],
)
def test_an_edge_is_found_however_it_is_written(
    edge: float, matcher: str, spellings: list[str]
) -> None:
    assert at_edge(edge) == matcher
    pattern = matcher.removeprefix('le=~"').removesuffix('"').replace("\\\\", "\\")
    assert all(re.fullmatch(pattern, spelling) for spelling in spellings)
    assert not re.fullmatch(pattern, "10")
    assert not re.fullmatch(pattern, "0x5")
