"""What was saved is by the prices, the sizes and the lengths of steps that each hour had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, text

from services.admin.fleet.page import saved
from services.admin.workloads.translate import to_spent_hour
from services.admin.workloads.trend_repository import load_trend
from services.kernel.db import schema
from services.kernel.db.partitions import ensure_partitions
from tests.integration.admin.showback.costs import FROM, TO, add

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Span:
    """Steps of one length that follow each other, at one size and price.

    Attributes:
        gpus: Held.
        price: USD per GPU-hour; None: not known.
    """

    n: int
    step_s: int = 300
    gpus: float = 10.0
    price: float | None = 2.0


def add_spans(
    engine: Engine, spans: Sequence[Span], *, at: datetime = FROM, key: str = "prod/chat"
) -> int:
    """A workload with these steps behind it, from `at` on."""
    workload = add(engine, key, {}, step_s=spans[-1].step_s)
    rows: list[dict[str, Any]] = []
    for span in spans:
        for _ in range(span.n):
            gpu_hours = span.gpus * span.step_s / 3600
            known = {
                "gpu_hours": None if span.price is None else gpu_hours,
                "cost_usd": None if span.price is None else gpu_hours * span.price,
            }
            rows.append({"workload_id": workload, "step_at": at, "computed_at": TO} | known)
            at += timedelta(seconds=span.step_s)
    with engine.begin() as connection:
        ensure_partitions(connection, "outcomes", FROM - timedelta(days=1), TO)
        connection.execute(insert(schema.outcomes), rows)
    return workload


def saved_of(engine: Engine, *workloads: int, since: datetime = FROM) -> float | None:
    """Share that was saved of these workloads."""
    with engine.connect() as connection:
        rows = load_trend(connection, workloads, since)
    return saved([to_spent_hour(row) for row in rows])


SAME_SIZE = [
    pytest.param([Span(12), Span(12, price=4.0)], id="the price went up"),
    pytest.param([Span(12, price=4.0), Span(12)], id="the price went down"),
    pytest.param([Span(6), Span(12, price=4.0), Span(6, price=3.0)], id="within an hour"),
    pytest.param([Span(12), Span(60, 60)], id="steps are shorter"),
    pytest.param([Span(60, 60), Span(12)], id="steps are longer"),
    pytest.param([Span(6), Span(30, 60), Span(4, 900)], id="steps are of three lengths"),
    pytest.param([Span(12), Span(6, price=None), Span(6)], id="some of it is not known"),
    pytest.param([Span(20), Span(1)], id="the last hour is a part"),
]


@pytest.mark.parametrize("spans", SAME_SIZE)
def test_who_held_the_same_all_the_time_saved_nothing(database: Engine, spans: list[Span]) -> None:
    assert saved_of(database, add_spans(database, spans)) == pytest.approx(0.0, abs=1e-9)


def test_what_was_not_held_is_saved_at_the_price_of_its_hour(database: Engine) -> None:
    """Ten GPUs at 2 USD, then five at 4 USD: the other five would have been 20 USD more."""
    workload = add_spans(database, [Span(12), Span(12, gpus=5, price=4.0)])
    assert saved_of(database, workload) == pytest.approx(1 - 40 / 60)


def test_an_hour_at_zero_is_saved_at_the_price_before_it_or_else_after_it(
    database: Engine,
) -> None:
    idle = Span(12, gpus=0)
    after = add_spans(database, [Span(12), idle], key="a/after")
    before = add_spans(database, [idle, Span(12)], key="a/before")
    assert saved_of(database, after) == pytest.approx(0.5)
    assert saved_of(database, before) == pytest.approx(0.5)
    assert saved_of(database, after, before) == pytest.approx(0.5)


@pytest.mark.parametrize("is_last", [True, False])
def test_a_spike_in_a_part_of_an_hour_is_no_size_for_all_day(
    database: Engine, is_last: bool
) -> None:
    """The day begins and ends within an hour, of which a single step may be all that is known."""
    spike, rest = Span(1, gpus=100), Span(12)
    spans = [rest, spike] if is_last else [spike, rest]
    at = FROM if is_last else FROM - timedelta(seconds=300)
    workload = add_spans(database, spans, at=at)
    assert saved_of(database, workload, since=at) == pytest.approx(0.0, abs=1e-9)


def test_other_gpus_are_another_size(database: Engine) -> None:
    """Ten of 1 USD, then two of 8 USD: not ten of 8 USD."""
    workload = add_spans(database, [Span(12, price=1.0), Span(12, gpus=2, price=8.0)])
    with database.begin() as connection:
        changed = {"at": FROM + timedelta(hours=1)}
        connection.execute(text("UPDATE workloads SET gpus_since = :at"), changed)
    assert saved_of(database, workload) == pytest.approx(0.0, abs=1e-9)


def test_of_variants_the_size_is_what_they_cost_together(database: Engine) -> None:
    """Ten GPUs of 1 USD and later two of 8 USD: sizes that only their cost compares."""
    workload = add_spans(database, [Span(12, price=1.0), Span(12, gpus=2, price=8.0)])
    with database.begin() as connection:
        parts = "UPDATE workloads SET spec = spec || '{\"variants\": [{}, {}]}'"
        connection.execute(text(parts))
    assert saved_of(database, workload) == pytest.approx(1 - 26 / 32)


def test_what_is_saved_of_nothing_is_not_known(database: Engine) -> None:
    unknown = add_spans(database, [Span(24, price=None)], key="a/unknown")
    idle = add_spans(database, [Span(24, gpus=0)], key="a/idle")
    free = add_spans(database, [Span(24, price=0.0)], key="a/free")
    for workload in (unknown, idle, free):
        assert saved_of(database, workload) is None
