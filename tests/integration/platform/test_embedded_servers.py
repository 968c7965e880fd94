"""The embedded servers start, keep their data, come back after a crash and say what is wrong."""

import os
import signal
from pathlib import Path

import psutil
import pytest
import redis
from sqlalchemy import text

from services.kernel.db.session import check_reachable, make_engine
from services.kernel.errors import ConfigurationError, Unavailable
from services.kernel.settings import Settings
from services.platform.embedded_servers import embedded_servers

pytestmark = pytest.mark.integration


def settings_at(home: Path) -> Settings:
    return Settings(home=home, database_url="", redis_url="")


def test_data_survives_a_restart_and_a_kill(home: Path) -> None:
    with embedded_servers(settings_at(home), "x") as urls:
        engine = make_engine(urls.database_url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE kept (n int)"))
            connection.execute(text("INSERT INTO kept VALUES (42)"))
        with engine.begin() as connection:
            connection.execute(text("CHECKPOINT"))  # commits are asynchronous here
        engine.dispose()
        client = redis.Redis.from_url(urls.redis_url)
        assert client.ping()
        client.close()
        pid = int((home / "x" / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
        psutil.wait_procs([p for p in [psutil.Process(pid)] if psutil.pid_exists(pid)], timeout=60)
    with embedded_servers(settings_at(home), "x") as urls:
        engine = make_engine(urls.database_url)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT n FROM kept")).scalar() == 42
        engine.dispose()


def test_a_folder_in_use_is_refused_with_the_reason(home: Path) -> None:
    with (
        embedded_servers(settings_at(home), "x"),
        pytest.raises(Unavailable, match="is in use by process"),
        embedded_servers(settings_at(home), "x"),
    ):
        pass


def test_an_unreachable_database_is_one_line() -> None:
    engine = make_engine("postgresql://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        check_reachable(engine)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_url_of_another_database_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must be a Postgres URL"):
        make_engine("mysql://x/y")
