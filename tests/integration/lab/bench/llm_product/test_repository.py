"""What was decided, and databases of runs."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text

from services.kernel.db.session import make_engine
from services.lab.bench.llm_product import repository
from services.lab.bench.llm_product.policy import START_AT, HarmonyPolicy
from tests.integration.lab.bench.llm_product.test_pipeline import SETUP


def test_before_anything_was_decided_there_is_nothing(database_url: str) -> None:
    policy = HarmonyPolicy(SETUP, database_url)
    engine = policy.pipeline.engine
    assert repository.workload_id_of(engine, "bench", "llm") == policy.workload_id
    assert repository.newest_decision(engine, policy.workload_id, START_AT) is None
    later = START_AT + timedelta(hours=1)
    assert repository.newest_decision(engine, policy.workload_id, later) is None
    assert not repository.all_decisions(engine, policy.workload_id)


def test_a_database_comes_and_goes(server_urls: tuple[str, str]) -> None:
    def names() -> set[str]:
        engine = make_engine(server_urls[0])
        with engine.connect() as connection:
            found = set(connection.execute(text("SELECT datname FROM pg_database")).scalars())
        engine.dispose()
        return found

    repository.create_database(server_urls[0], "llm_comes")
    assert "llm_comes" in names()
    repository.drop_database(server_urls[0], "llm_comes")
    assert "llm_comes" not in names()
