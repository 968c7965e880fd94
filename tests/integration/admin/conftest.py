"""The admin application over a seeded fleet, and clients that call it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from services.admin.app import make_app
from services.admin.clusters import KnownClusters
from services.admin.deps import AdminDeps
from services.admin.sessions import SessionStore
from services.kernel.clock import FixedClock
from services.kernel.db.session import dispose_engines, make_engine
from services.kernel.jobs import RecordingSender
from services.kernel.security.keys import KeyVerifier, Role, create_key
from services.kernel.security.limits import Limiter
from services.kernel.settings import Settings
from tests.databases import Databases
from tests.integration.admin.app_client import BASE_URL, AppClient, Make, bearer
from tests.integration.admin.console_visitor import Person
from tests.integration.admin.oidc_issuer import Issuer, serve_issuer
from tests.integration.admin.oidc_visitor import CALLBACK, visitor_of
from tests.integration.admin.seeded_fleet import NOW, Seeded, seed_fleet
from tests.integration.admin.seeded_rows import STEP_S
from tests.made_once import documents_made_once


@pytest.fixture(scope="session", autouse=True)
def routes_described_once() -> Iterator[None]:
    """Tests that read the document of the application need not wait for it to be made again."""
    with documents_made_once():
        yield


@dataclass(frozen=True)
class SeededTemplate:
    """A database that tests copy, and what was written to it."""

    name: str
    seeded: Seeded


@pytest.fixture(scope="session")
def seeded_template(databases: Databases, begun_database: str) -> SeededTemplate:
    """A migrated database with the seeded fleet: copying it costs no more than an empty one."""
    name = databases.create(begun_database)
    url = databases.url(name)
    seeded = seed_fleet(make_engine(url))
    dispose_engines(url)
    return SeededTemplate(name, seeded)


@pytest.fixture
def copied_database(request: pytest.FixtureRequest, begun_database: str) -> str:
    """The seeded database for tests that ask for `seeded`, else the empty one."""
    if "seeded" not in request.fixturenames:
        return begun_database
    return str(request.getfixturevalue("seeded_template").name)


@pytest.fixture
def seeded(database: Engine, seeded_template: SeededTemplate) -> Seeded:
    """Three workloads with four hours behind them, in the test's database."""
    return seeded_template.seeded


@pytest.fixture
def deps(database: Engine, redis_url: str, settings: Settings) -> Iterator[AdminDeps]:
    """Dependencies on the test servers, with both clocks at NOW."""
    client = redis.Redis.from_url(redis_url)
    yield AdminDeps(
        engine=database,
        redis=client,
        settings=settings.model_copy(update={"step_s": STEP_S}),
        clock=FixedClock(NOW),
        wall=FixedClock(NOW),
        verifier=KeyVerifier(database),
        sessions=SessionStore(client, b"k" * 32, FixedClock(NOW)),
        sender=RecordingSender(),
        clusters=KnownClusters(database, ttl_s=0.0),
    )
    client.close()


@pytest.fixture
def keys(database: Engine) -> dict[Role, str]:
    """A key of each role."""
    with database.begin() as connection:
        return {role: create_key(connection, str(role), role, NOW).token for role in Role}


@pytest.fixture
def anonymous(deps: AdminDeps) -> Iterator[AppClient]:
    """A client without credentials."""
    with AppClient(make_app(deps)) as client:
        yield client


@pytest.fixture
def viewer(deps: AdminDeps, keys: dict[Role, str]) -> Iterator[AppClient]:
    """A client with a viewer's key."""
    with AppClient(make_app(deps), bearer(keys[Role.VIEWER])) as client:
        yield client


@pytest.fixture
def admin(deps: AdminDeps, keys: dict[Role, str]) -> Iterator[AppClient]:
    """A client with an admin's key."""
    with AppClient(make_app(deps), bearer(keys[Role.ADMIN])) as client:
        yield client


@pytest.fixture
def console(anonymous: AppClient, keys: dict[Role, str]) -> AppClient:
    """A browser that has logged in as a viewer."""
    form = {"key": keys[Role.VIEWER], "next": "/"}
    origin = {"Origin": BASE_URL}
    answer = anonymous.post("/login", data=form, headers=origin)
    assert answer.status_code == 303
    anonymous.headers["Accept"] = "text/html"
    return anonymous


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser; skips where absent, but not where everything must be tested."""
    from tests.integration.admin.browser import find_chromium

    path = find_chromium()
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is missing: apt-get install chromium")
        pytest.skip("chromium is not installed: apt-get install chromium")
    return path


@pytest.fixture
def url(deps: AdminDeps, seeded: Seeded) -> Iterator[str]:
    """Address of a console over the seeded fleet."""
    from tests.integration.admin.browser import serve

    with serve(deps) as address:
        yield address


@pytest.fixture
def page(chromium: str) -> Iterator[Any]:
    """An empty page of a real browser."""
    from tests.integration.admin.browser import visit

    with visit(chromium) as found:
        yield found


@pytest.fixture(scope="module")
def issuer_of_module() -> Iterator[Issuer]:
    """A real local OIDC issuer; its keys take time to make."""
    with serve_issuer() as found:
        yield found


@pytest.fixture
def issuer(issuer_of_module: Issuer) -> Issuer:
    """The issuer as it was at first, where it knows the console."""
    issuer_of_module.reset()
    issuer_of_module.pages.redirect_uris = {CALLBACK}
    issuer_of_module.pages.now = NOW
    return issuer_of_module


@pytest.fixture
def visitor(deps: AdminDeps, issuer: Issuer) -> Iterator[Person]:
    """A browser that has not logged in, at a console that the issuer knows."""
    with visitor_of(deps, issuer) as found:
        yield found


@pytest.fixture
def make(deps: AdminDeps) -> Iterator[Make]:
    """Clients of the application with other settings, limits on."""
    with ExitStack() as stack:

        def made(**changes: Any) -> AppClient:
            settings = deps.settings.model_copy(update=changes)
            limiter = Limiter("admin", deps.redis)
            app = make_app(replace(deps, settings=settings, limiter=limiter))
            return stack.enter_context(AppClient(app))

        yield made


@pytest.fixture
def document(anonymous: AppClient) -> dict[str, Any]:
    """The document that the application serves."""
    return dict(anonymous.get("/openapi.json").json())
