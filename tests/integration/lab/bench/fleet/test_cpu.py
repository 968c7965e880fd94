"""CPU time is counted by stage, Python's and the database's."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import Engine, text

from services.lab.bench.fleet.cpu import CpuMeter

pytestmark = pytest.mark.integration

BUSY_S = 0.3


def test_work_here_and_in_the_database_is_counted_where_it_was_done(database: Engine) -> None:
    meter = CpuMeter(database)
    with meter.stage("here"):
        until = time.process_time() + BUSY_S
        while time.process_time() < until:
            pass
    with meter.stage("there"), database.connect() as connection:
        connection.execute(text("SELECT sum(sqrt(i)) FROM generate_series(1, 3000000) AS g(i)"))
    assert meter.spent["here"] >= BUSY_S
    assert meter.in_database["here"] < BUSY_S / 2
    assert meter.in_database["there"] > BUSY_S / 6
    assert meter.spent["there"] >= meter.in_database["there"]
