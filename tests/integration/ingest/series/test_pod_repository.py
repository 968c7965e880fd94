"""Readings of pods in the database."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import Engine

from services.ingest.series.pod_repository import (
    PodSeries,
    alive_pods,
    load_readings,
    write_readings,
)
from services.ingest.series.samples import SECOND_US, TimeSpan, make_samples, to_us
from tests.integration.ingest.pushes import T0

pytestmark = pytest.mark.integration
T0_US = to_us(T0)
INF = float("inf")
SERIES = [
    PodSeries(1, "sli_ttft", -(2**63), 0.5),
    PodSeries(1, "sli_ttft", -(2**63), INF),
    PodSeries(1, "sli_ttft", 2**63 - 1, INF),
    PodSeries(2, "sli_lost", 7, INF),
]


def write(database: Engine, *readings: tuple[int, int, float]) -> None:
    """(number in SERIES, seconds after the start, value) readings."""
    numbers, seconds, values = zip(*readings, strict=True)
    at_us = [T0_US + second * SECOND_US for second in seconds]
    with database.begin() as connection:
        write_readings(connection, SERIES, make_samples(numbers, at_us, values))


def test_readings_come_back_by_pod_and_edge_and_a_known_time_is_replaced(
    database: Engine,
) -> None:
    write(database, (0, 0, 1.0), (1, 0, 2.0), (2, 30, 3.0), (2, 90, 9.0), (3, 0, 4.0))
    write(database, (1, 0, 5.0))
    span = TimeSpan(T0_US, T0_US + 30 * SECOND_US)
    with database.connect() as connection:
        found = load_readings(connection, 1, "sli_ttft", span)
        nothing = load_readings(connection, 3, "sli_ttft", span)
    number = found.samples.series
    rows = zip(
        found.pod[number].tolist(), found.edge_s[number].tolist(), found.samples.value, strict=True
    )
    assert sorted(rows) == [(-(2**63), 0.5, 1.0), (-(2**63), INF, 5.0), (2**63 - 1, INF, 3.0)]
    assert set((found.samples.at_us - T0_US).tolist()) == {0, 30 * SECOND_US}
    assert (len(nothing.samples), nothing.pod.size) == (0, 0)
    assert nothing.pod.dtype == np.int64


def test_a_sender_that_repeats_itself_is_stored_as_it_came_last(database: Engine) -> None:
    many = [(0, second, float(second)) for second in range(10)]
    write(database, (1, 0, 1.0), *many, (1, 0, 2.0), (0, 9, 10.0))
    with database.connect() as connection:
        found = load_readings(connection, 1, "sli_ttft", TimeSpan(T0_US, T0_US + 9 * SECOND_US))
    right = [*(float(second) for second in range(9)), 2.0, 10.0]
    assert sorted(found.samples.value) == sorted(right)


def test_a_pod_is_alive_that_was_heard_of_since(database: Engine) -> None:
    write(database, (0, 0, 1.0), (1, 0, 1.0), (2, 60, 1.0), (3, 60, 1.0))
    counts = {(1, "sli_ttft"), (2, "sli_lost"), (2, "sli_ttft")}
    with database.connect() as connection:
        found = alive_pods(connection, counts, T0 + timedelta(seconds=30))
        all_of_them = alive_pods(connection, {(1, "sli_ttft")}, T0)
    assert found == {(1, "sli_ttft"): {2**63 - 1}, (2, "sli_lost"): {7}, (2, "sli_ttft"): set()}
    assert all_of_them == {(1, "sli_ttft"): {-(2**63), 2**63 - 1}}
