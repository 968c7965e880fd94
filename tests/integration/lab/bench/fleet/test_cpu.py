"""CPU time is that of this process's own connections."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.kernel.db.session import dispose_engines, make_engine
from services.lab.bench.fleet.cpu import OwnBackends, own_backends, thread_cpu_s

pytestmark = pytest.mark.integration

BUSY = "SELECT sum(sqrt(i)) FROM generate_series(1, 2000000) AS g(i)"
LEAST_S = 0.05


@pytest.fixture
def url(database: Engine) -> str:
    """Of a database to which this process has no connection yet."""
    found = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    dispose_engines(found)
    return found


def test_work_in_the_database_is_counted_also_of_connections_that_were_closed(url: str) -> None:
    with own_backends() as backends:
        assert backends.cpu_s() == 0.0
        engine = make_engine(url)
        with engine.connect() as connection:
            connection.execute(text(BUSY))
        spent = backends.cpu_s()
        assert spent > LEAST_S
        dispose_engines(url)
        assert backends.cpu_s() >= spent


def test_work_of_other_connections_is_not_counted(url: str) -> None:
    engine = make_engine(url)
    with engine.connect() as other:
        backends = OwnBackends()
        try:
            other.execute(text(BUSY))
            assert backends.cpu_s() == 0.0
        finally:
            backends.stop()


def test_a_process_that_is_not_there_has_none() -> None:
    assert thread_cpu_s(2**22 + 1) == 0.0
