"""The whole pipeline under faults: nothing is lost, nothing comes twice, over Postgres."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, make_url

from services.kernel.db.session import make_engine
from services.lab.bench.llm_product.repository import create_database, drop_database
from tests.simulation.pipeline import PipelineSource, account
from tests.simulation.world import Size, World

pytestmark = [pytest.mark.slow, pytest.mark.integration]
N_QUIET = 8


@contextmanager
def fresh(server_url: str, template: str) -> Iterator[Engine]:
    name = f"simulated_{uuid.uuid4().hex[:8]}"
    create_database(server_url, name, template)
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    engine = make_engine(url)
    yield engine
    engine.dispose()
    drop_database(server_url, name)


def run(seed: int, engine: Engine, n_steps: int) -> World:
    size = Size(n_steps=n_steps, n_quiet=N_QUIET)
    world = World(seed, size, engine=engine, make_source=PipelineSource)
    world.run()
    return world


@pytest.mark.parametrize("seed", range(3))
def test_every_origin_gets_one_forecast_and_one_decision(
    seed: int, database: Engine, record_property: Callable[[str, object], None]
) -> None:
    world = run(seed, database, n_steps=20)
    assert world.n_faults > 20
    found = account(world, database, world.now_s - 180.0)
    record_property("account", found)
    assert found.wrong == []
    assert found.n_decided > found.n_passed


def test_one_seed_is_one_run(server_urls: tuple[str, str], template_database: str) -> None:
    digests = []
    for _ in range(2):
        with fresh(server_urls[0], template_database) as engine:
            world = run(5, engine, n_steps=5)
            digests.append((world.journal.digest, world.n_faults))
    assert digests[0] == digests[1]
