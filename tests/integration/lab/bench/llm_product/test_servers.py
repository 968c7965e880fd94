"""One server, a database for each run."""

from __future__ import annotations

from itertools import count

from sqlalchemy import text

from services.kernel.db.session import make_engine
from services.lab.bench.llm_product.servers import RunDatabases, prepare_template


def test_each_run_has_an_empty_database_that_goes_with_it(server_urls: tuple[str, str]) -> None:
    prepare_template(server_urls[0])
    databases = RunDatabases(server_urls[0], count(1))
    names = []
    for _ in range(2):
        with databases.fresh() as url, make_engine(url).connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM workloads")).scalar() == 0
            names.append(connection.execute(text("SELECT current_database()")).scalar())
    assert len(set(names)) == 2
    engine = make_engine(server_urls[0])
    with engine.connect() as connection:
        left = connection.execute(text("SELECT datname FROM pg_database")).scalars().all()
    engine.dispose()
    assert not set(names) & set(left)
