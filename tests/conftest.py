"""Fixtures shared by all tests: one Postgres and Redis for the run, a fresh database for each."""

from __future__ import annotations

import gc
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import platformdirs
import pytest
import structlog
from hypothesis import HealthCheck, is_hypothesis_test, settings as hypothesis_settings
from sqlalchemy import Engine

from services.kernel.clock import FixedClock
from services.kernel.settings import Settings
from tests.databases import Databases, databases_of
from tests.made_once import authorities_read_once, programs_built_once  # noqa: F401  # fixtures

REPO = Path(__file__).parents[1]
STARTED_S = time.monotonic()

# What a file says whose every test is slow.
ALL_SLOW = re.compile(r"^pytestmark = (?:\[[^\]]*|.*)\bpytest\.mark\.slow\b", re.MULTILINE)

# Where the clock of most tests stands.
WEEK_OF_MOST_TESTS = datetime(2026, 1, 5, tzinfo=UTC)
DAYS_OF_A_WEEK = 7

# torch with more threads than free cores is many times slower; child processes inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# On import, once a day, ArviZ notes in a file that it has warned (pyproject.toml): of several
# processes that do so at the same moment one fails. Each worker has a folder of its own here.
_user_cache_dir = platformdirs.user_cache_dir


def _own_cache_dir(appname: str | None = None, *given: Any, **named: Any) -> str:
    if appname == "arviz":
        appname = f"arviz-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    return _user_cache_dir(appname, *given, **named)


platformdirs.user_cache_dir = _own_cache_dir

# A run that is started in the background may ignore these, and so would every process of a test.
for word, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(word) is signal.SIG_IGN:
        signal.signal(word, handler)

# The same examples in every run, so that a run differs from the last one by the code alone.
# `make test-random` draws new ones and prints how to reproduce what it finds. How long an example
# takes depends on the machine's other work: pytest's own time limit ends what hangs.
N_RANDOM_EXAMPLES = int(os.environ.get("HARMONY_EXAMPLES", "1000"))
TIMELESS = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
hypothesis_settings.register_profile("harmony", derandomize=True, **TIMELESS)
hypothesis_settings.register_profile("random", derandomize=False, print_blob=True, **TIMELESS)
hypothesis_settings.load_profile("harmony")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give every property as many examples as a random run asks for, its own number or not."""
    if hypothesis_settings.get_current_profile_name() != "random":
        return
    test = getattr(item, "function", None)
    if not is_hypothesis_test(test):
        return
    # the properties of a state machine are one test case, which has settings of its own
    holder, name = (
        (test, "_hypothesis_internal_use_settings")
        if hasattr(test, "_hypothesis_internal_use_settings")
        else (item.cls, "settings")  # type: ignore[attr-defined]  # of a class
    )
    own = getattr(holder, name)
    setattr(holder, name, hypothesis_settings(own, max_examples=N_RANDOM_EXAMPLES))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no file without a test that is asked for: to import them all takes minutes."""
    chosen = config.option.markexpr
    if chosen not in ("slow", "not slow") or collection_path.suffix != ".py":
        return None
    source = collection_path.read_text()
    is_without = "pytest.mark.slow" not in source if chosen == "slow" else ALL_SLOW.search(source)
    return True if is_without else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no worker is left with one at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/statistical/"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage while tests are collected, nor later in what was collected.

    It stays until the run's end, and is millions of objects: a look at all of them takes a second.
    What the tests leave is looked for seldom: at Python's own pace that took 7 % of a test's time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(50_000, 10, 50)
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """Deal files that share a demo to one worker."""
    if config.getvalue("dist") != "loadfile":
        return None
    from tests.sharing import FilesThatShare

    return FilesThatShare(config, log)


def data_dir() -> Path | None:
    """Folder of the public traces, where this machine has them."""
    given = os.environ.get("HARMONY_DATA_DIR")
    folder = Path(given) if given else REPO.parent / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command that runs in a test sets up logging: the next test must not inherit it."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def traces() -> Path:
    """Folder of the public traces; skips where absent."""
    folder = data_dir()
    if folder is None:
        pytest.skip("public traces not found: set HARMONY_DATA_DIR to their folder")
    return folder


@pytest.fixture(scope="session")
def server_urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(database URL, Redis URL) of servers that live for the whole run."""
    from services.platform.embedded_servers import embedded_servers
    from tests.server_home import folder_in_memory

    given = Settings()
    with folder_in_memory() as in_memory:
        home = in_memory or (None if os.geteuid() == 0 else tmp_path_factory.mktemp("harmony"))
        settings = given.model_copy(update={"home": given.home or home})
        with embedded_servers(settings, f"tests-{os.getpid()}") as urls:
            yield urls.database_url, urls.redis_url
    if settings.home is None:
        import shutil

        from services.platform.embedded_servers import default_home

        shutil.rmtree(default_home() / f"tests-{os.getpid()}", ignore_errors=True)


@pytest.fixture(scope="session")
def databases(server_urls: tuple[str, str]) -> Iterator[Databases]:
    """The server's databases; one that this run has started waits for no disk."""
    with databases_of(server_urls[0]) as found:
        if not Settings().database_url:
            found.forgo_durability()
        yield found


@pytest.fixture(scope="session")
def template_database(databases: Databases, cheap_hashes: None) -> str:
    """Name of a migrated database that tests copy."""
    from services.kernel.db.migrations import migrate
    from services.kernel.db.session import dispose_engines, make_engine

    name = databases.create()
    url = databases.url(name)
    migrate(make_engine(url))
    dispose_engines(url)
    return name


@pytest.fixture(scope="session")
def begun_database(databases: Databases, template_database: str) -> str:
    """Name of a migrated database in which the week of most tests has begun.

    Rows make the partitions that they fall into, some 20 ms of CPU time each, and nearly every test
    would make two or three of the same. Those of a day, of other weeks and all of
    `tests/integration/kernel` and `tests/integration/lab` are still made as rows arrive. The table
    that an upgrade empties has none: one would have to be moved.
    """
    from services.kernel.db.partitions import ensure_partitions
    from services.kernel.db.schema import PARTITIONED
    from services.kernel.db.session import dispose_engines, make_engine
    from services.kernel.db.steps.moving import OLD

    name = databases.create(template_database)
    url = databases.url(name)
    with make_engine(url).begin() as connection:
        for table, by in PARTITIONED.items():
            if by.days == DAYS_OF_A_WEEK and table != OLD:
                ensure_partitions(connection, table, WEEK_OF_MOST_TESTS, WEEK_OF_MOST_TESTS)
    dispose_engines(url)
    return name


@pytest.fixture(scope="session")
def cheap_hashes() -> Iterator[None]:
    """Keys with the least cost that Argon2 knows; it is slow by design, and tests make many."""
    from services.kernel.security import keys

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "HASH_COST", {"time_cost": 1, "memory_cost": 8, "parallelism": 1})
        yield


@pytest.fixture
def copied_database(begun_database: str) -> str:
    """Name of the database that the test's own is a copy of; a folder may have one with rows."""
    return begun_database


@pytest.fixture
def database_url(databases: Databases, copied_database: str) -> Iterator[str]:
    """URL of a fresh, migrated database."""
    from services.kernel.db.session import dispose_engines

    name = databases.create(copied_database)
    url = databases.url(name)
    yield url
    dispose_engines(url)
    databases.drop(name)


@pytest.fixture
def database(database_url: str) -> Engine:
    """Engine on a fresh, migrated database."""
    from services.kernel.db.session import make_engine

    return make_engine(database_url)


@pytest.fixture(scope="session")
def empty_redis(server_urls: tuple[str, str]) -> Iterator[Callable[[], object]]:
    """Empties the Redis-protocol server, by one connection: to open one takes 5 ms."""
    import redis

    with redis.Redis.from_url(server_urls[1]) as client:
        yield client.flushall


@pytest.fixture
def redis_url(server_urls: tuple[str, str], empty_redis: Callable[[], object]) -> str:
    """URL of an emptied Redis-protocol server."""
    empty_redis()
    return server_urls[1]


@pytest.fixture(scope="session")
def given_settings() -> Settings:
    """Settings of the environment, read once."""
    return Settings()


@pytest.fixture
def settings(given_settings: Settings, database_url: str, server_urls: tuple[str, str]) -> Settings:
    """Settings that point at the test servers."""
    return given_settings.model_copy(
        update={"database_url": database_url, "redis_url": server_urls[1]}
    )


@pytest.fixture
def clock() -> FixedClock:
    """A clock at Monday 2026-01-05 00:00 UTC."""
    return FixedClock(WEEK_OF_MOST_TESTS)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """After a whole run, print its line for the log of docs/reliability.md."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS or config.option.keyword:
        return
    if config.option.collectonly or config.getoption("lf", default=False):
        return
    from tests.run_log import RunResult, log_line

    counts = {name: len(found) for name, found in terminalreporter.stats.items() if name}
    seconds = time.monotonic() - STARTED_S
    line = log_line(RunResult(config.option.markexpr, counts, seconds), datetime.now(tz=UTC).date())
    terminalreporter.write_line(f"docs/reliability.md: {line}")
