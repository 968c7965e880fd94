"""The application that a worker runs, and the one that Celery's own command finds."""

import gc
import socket

import httpx
import pytest

import services.worker
from services.kernel import jobs
from services.kernel.errors import ConfigurationError
from services.kernel.listening import find_address, listen
from services.kernel.settings import Settings
from services.worker.__main__ import main
from services.worker.run import collect_rarely, run_beat, run_worker, worker_app


def settings(queues: str) -> Settings:
    return Settings(redis_url="redis://127.0.0.1:1/0", queues=queues)


def test_a_worker_knows_the_tasks_of_its_queues() -> None:
    app = worker_app(settings("decide"))
    app.loader.import_default_modules()
    assert jobs.DECIDE_SWEEP in app.tasks
    assert app.conf.include == ["services.decision.tasks"]


def test_a_worker_loads_what_its_jobs_need_before_it_looks_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And before what is imported is kept from the collector."""
    done: list[str] = []
    steps = {
        "celery.loaders.base.BaseLoader.import_default_modules": "load",
        "services.worker.run.collect_rarely": "freeze",
        "celery.Celery.worker_main": "work",
    }
    for name, step in steps.items():
        monkeypatch.setattr(name, lambda *_, step=step: done.append(step))
    monkeypatch.setattr("celery.Celery.set_default", lambda _: None)
    run_worker(settings("forecast"))
    assert done == ["load", "freeze", "work"]


def test_a_worker_takes_jobs_from_the_queues_that_jobs_are_sent_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However the list is written."""
    given: list[str] = []
    monkeypatch.setattr("celery.loaders.base.BaseLoader.import_default_modules", lambda _: None)
    monkeypatch.setattr("services.worker.run.collect_rarely", lambda: None)
    monkeypatch.setattr("celery.Celery.worker_main", lambda _, arguments: given.extend(arguments))
    monkeypatch.setattr("celery.Celery.set_default", lambda _: None)
    run_worker(settings(" ingest, forecast ,"))
    assert "--queues=ingest,forecast" in given
    assert "--hostname=ingest-forecast@%h" in given


class Silent:
    """A beat that ends at once."""

    def run(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("server", ["worker", "beat"])
def test_metrics_are_served_where_the_host_says_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], server: str
) -> None:
    monkeypatch.setattr("celery.loaders.base.BaseLoader.import_default_modules", lambda _: None)
    monkeypatch.setattr("services.worker.run.collect_rarely", lambda: None)
    monkeypatch.setattr("celery.Celery.worker_main", lambda _, arguments: None)
    monkeypatch.setattr("celery.Celery.set_default", lambda _: None)
    monkeypatch.setattr("celery.Celery.Beat", lambda *_, **__: Silent())
    given = settings("ingest").model_copy(
        update={
            "host": "127.0.0.2",
            "worker_metrics_port": 0,
            "database_url": "postgresql://127.0.0.1:1/none",
        }
    )
    run_worker(given) if server == "worker" else run_beat(given)
    address = find_address(capsys.readouterr().out, f"{server} metrics")
    assert address is not None
    port = int(address.removeprefix("http://127.0.0.2:"))
    assert "harmony_build_info" in httpx.get(f"{address}/metrics", trust_env=False).text
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_metrics_port_that_is_taken_is_named() -> None:
    with listen("127.0.0.1", 0, "PORT") as listener:
        port = listener.getsockname()[1]
        given = settings("ingest").model_copy(update={"worker_metrics_port": port})
        with pytest.raises(ConfigurationError, match=f"HARMONY_WORKER_METRICS_PORT={port}"):
            run_worker(given)


def test_an_unknown_queue_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigurationError, match="HARMONY_QUEUES='bake'"):
        worker_app(settings("bake"))
    monkeypatch.setattr("services.worker.__main__.get_settings", lambda: settings("bake"))
    monkeypatch.setattr("services.worker.__main__.configure_logging", lambda *_: None)
    assert main([]) == 2
    assert "HARMONY_QUEUES='bake'" in capsys.readouterr().err


def test_celery_finds_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.kernel.settings.get_settings", lambda: settings("ingest"))
    assert services.worker.app.conf.include == ["services.ingest.tasks"]
    with pytest.raises(AttributeError):
        services.worker.elsewhere  # noqa: B018


@pytest.mark.slow
def test_garbage_is_looked_for_less_often_and_not_in_what_is_imported() -> None:
    before = gc.get_threshold()
    gc.unfreeze()
    try:
        collect_rarely()
        assert gc.isenabled()
        assert gc.get_threshold()[0] > 10 * 700, "the interpreter's own"
        assert gc.get_freeze_count() > 0
    finally:
        gc.set_threshold(*before)  # and what is frozen stays so, as tests/conftest.py had it
