"""While the database restarts, API, console and push answer 503 and when to come back, no more.

Its figures are printed with `-s`. `HARMONY_DATABASE_RESTARTS` is the number of restarts, half of
them by SIGKILL:

    HARMONY_DATABASE_RESTARTS=50 make test-slow ARGS='-s tests/e2e/test_database_restart.py'
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from services.platform.embedded_servers import default_home
from tests.e2e.up_process import UpProcess, eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(os.name != "posix", reason="signals"),
]
N_RESTARTS = int(os.environ.get("HARMONY_DATABASE_RESTARTS", "3"))
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGQUIT)
"""A crash, a fast shutdown (connections are ended), a crash, an immediate shutdown."""
READS = (
    "/v1/workloads",
    "/v1/models",
    "/v1/decisions",
    "/v1/audit",
    "/v1/operations",
    "/v1/budgets",
    "/readyz",
    "/login",
)
NAMES = {"namespace": "lab", "name": "chat"}
SPEC = {
    "demand": "load_rps",
    "indicators": [{"name": "load_rps", "level": 1}],
    "capacity": {"per_replica": 10},
}


def sample() -> dict[str, list[object]]:
    """What is pushed: a sample of now."""
    series = {"namespace": "lab", "workload": "chat", "indicator": "load_rps"}
    return {"observations": [{**series, "samples": [[time.time(), 1.0]]}]}


@dataclass(slots=True)
class Client:
    """Asks one address again and again, and keeps what is neither right nor a 503 as it must be."""

    url: str
    headers: dict[str, str]
    is_push: bool = False
    n_right: int = 0
    n_away: int = 0
    wrong: Counter[str] = field(default_factory=Counter)

    def ask(self, client: httpx.Client) -> None:
        """Ask once."""
        try:
            if self.is_push:
                answer = client.post(self.url, json=sample(), headers=self.headers)
            else:
                answer = client.get(self.url, headers=self.headers)
        except httpx.TransportError as error:
            self.wrong[f"{self.url} {type(error).__name__}"] += 1
            return
        if answer.status_code < 300:
            self.n_right += 1
        elif answer.status_code == 503 and int(answer.headers.get("retry-after", 0)) >= 1:
            self.n_away += 1
        else:
            self.wrong[f"{self.url} {answer.status_code} {answer.text[:200]}"] += 1

    def run(self, ended: threading.Event) -> None:
        """Ask until the end."""
        with httpx.Client(trust_env=False, timeout=60) as client:
            while not ended.wait(0.05):
                self.ask(client)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[UpProcess]:
    folder = tmp_path if os.geteuid() != 0 else default_home() / f"e2e-{uuid.uuid4().hex[:8]}"
    process = UpProcess(folder, tmp_path / "up.log")
    yield process
    process.end()
    if folder != tmp_path:
        shutil.rmtree(folder, ignore_errors=True)


def _clients(up: UpProcess) -> list[Client]:
    key, token = up.found(r"admin key +(hk_\S+)"), up.found(r"push token +(hp_\S+)")
    api, push = up.found(r"API and console +(http\S+)"), up.found(r"push API +(http\S+)")
    bearer = {"Authorization": f"Bearer {key}"}
    made = httpx.post(f"{api}/v1/workloads", json={**NAMES, "spec": SPEC}, headers=bearer)
    made.raise_for_status()
    reads = [Client(api + path, bearer) for path in READS]
    return [*reads, Client(push, {"Authorization": f"Bearer {token}"}, is_push=True)]


def test_a_restart_of_the_database_is_503_with_retry_after_and_no_more(up: UpProcess) -> None:
    up.wait_started()
    clients, ended = _clients(up), threading.Event()
    with httpx.Client(trust_env=False, timeout=60) as one:
        for client in clients:
            client.ask(one)
    assert [client.wrong for client in clients if client.wrong] == []
    threads = [threading.Thread(target=client.run, args=(ended,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        took = []
        for number in range(N_RESTARTS):
            took.append(up.kill("postgres", SIGNALS[number % len(SIGNALS)]))
            n_right = [client.n_right for client in clients]
            eventually(
                lambda n_right=n_right: all(  # each is served again before the next
                    client.n_right > n for client, n in zip(clients, n_right, strict=True)
                ),
                up.printed,
            )
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    n_away, n_right = (sum(getattr(c, name) for c in clients) for name in ("n_away", "n_right"))
    print(f"{N_RESTARTS} restarts, back within {max(took):.1f} s: {n_right} answers, {n_away} 503")
    assert n_away > 0
    assert sum((client.wrong for client in clients), Counter()) == Counter()
    up.stop()
