"""`harmony up` outlives its processes, and a start outlives any Ctrl-C.

Two of them print their figures with `-s`. `HARMONY_KILLS` and `HARMONY_STOPS` are their numbers
of kills and stops, `HARMONY_CHAOS_SEED` their seed:

    HARMONY_KILLS=50 HARMONY_STOPS=100 make test-slow ARGS='-s tests/e2e/test_up_heals.py'
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from services.platform.embedded_servers import default_home
from tests.e2e.up_process import UpProcess, eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals"),
]
REPO = Path(__file__).parents[2]
N_KILLS = int(os.environ.get("HARMONY_KILLS", "2"))
"""Of each process, one after the other."""
N_STOPS = int(os.environ.get("HARMONY_STOPS", "5"))
SEED = int(os.environ.get("HARMONY_CHAOS_SEED", "7"))
Start = Callable[[], UpProcess]


@contextmanager
def a_home(given: Path) -> Iterator[Path]:
    """A folder for platforms: a given one, or one that Postgres's own user may reach."""
    folder = given if os.geteuid() != 0 else default_home() / f"e2e-{uuid.uuid4().hex[:8]}"
    yield folder
    if folder != given:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def starts_of(home: Path, logs: Path) -> Iterator[Start]:
    """Starts platforms in a folder, and ends what is left of them."""
    started: list[UpProcess] = []

    def start() -> UpProcess:
        started.append(UpProcess(home, logs / f"up-{len(started)}.log"))
        return started[-1]

    yield start
    for up in started:
        up.end()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with a_home(tmp_path) as folder:
        yield folder


@pytest.fixture
def start(home: Path, tmp_path: Path) -> Iterator[Start]:
    with starts_of(home, tmp_path) as start:
        yield start


@dataclass
class Attacked:
    """A platform whose every process was killed `N_KILLS` times.

    Attributes:
        up: It, which still runs.
        start: Starts another in its folder.
        took: Seconds until each was back, by name.
    """

    up: UpProcess
    start: Start
    took: dict[str, list[float]]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    folder = tmp_path_factory.mktemp("attacked")
    with a_home(folder) as home, starts_of(home, folder) as start:
        up = start()
        up.wait_started()
        names = list(up.pids())
        took: dict[str, list[float]] = {name: [] for name in names}
        order = [name for name in names for _ in range(N_KILLS)]
        random.Random(SEED).shuffle(order)
        for name in order:
            took[name].append(up.kill(name))
        yield Attacked(up, start, took)


def create_workload(up: UpProcess) -> None:
    config = yaml.safe_load((up.folder / "kubeconfig").read_text())
    server = config["clusters"][0]["cluster"]["server"]
    manifest = yaml.safe_load((REPO / "deploy/examples/gpuautoscaler.yaml").read_text())
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "serving"}}
    httpx.post(f"{server}/api/v1/namespaces", json=namespace).raise_for_status()
    path = "/apis/scaling.harmony.dev/v1alpha1/namespaces/serving/gpuautoscalers"
    httpx.post(server + path, json=manifest).raise_for_status()


def see_workload(up: UpProcess) -> None:
    """What was created in the cluster is answered by the API: all between them works."""
    key = up.found(r"admin key +(hk_\S+)")
    url = up.found(r"API and console +(http\S+)") + "/v1/workloads"
    headers = {"Authorization": f"Bearer {key}"}

    def is_there() -> bool:
        with suppress(httpx.TransportError):
            return "llama" in httpx.get(url, headers=headers, timeout=10).text
        return False

    eventually(is_there, up.printed)


@pytest.mark.timeout(24 * 3600)
def test_every_process_killed_again_and_again_is_back(attacked: Attacked) -> None:
    for name, seconds in attacked.took.items():
        print(f"{name}: {len(seconds)} kills, back within {max(seconds):.1f} s")
    create_workload(attacked.up)
    see_workload(attacked.up)
    assert max(map(max, attacked.took.values())) < 3 * 20


@pytest.mark.timeout(24 * 3600)
def test_killed_servers_and_processes_are_back_and_a_killed_platform_leaves_no_trace(
    attacked: Attacked,
) -> None:
    up = attacked.up
    assert attacked.took.keys() >= {"postgres", "valkey", "cluster", "operator"}
    for name in attacked.took:
        assert f"{name} was killed by SIGKILL; it starts again in 0.5 s" in up.printed()
    assert up.pids().keys() == attacked.took.keys()
    up.stop(signal.SIGKILL)
    again = attacked.start()  # in the same folder, at once
    again.wait_started()
    assert "the one shown at the first start" in again.printed()
    for name in ("operator", "postgres"):  # what was started again is ended in order, too
        again.kill(name)
    again.stop(signal.SIGHUP)
    assert again.process.returncode == 0
    assert again.pids() == {}


def test_a_start_may_be_stopped_at_any_moment(start: Start) -> None:
    half_made, served, last = (
        "harmony-*/postgres/PG_VERSION",
        "postgres/postmaster.pid",
        "kubeconfig",
    )
    for moment in (half_made, served, last):
        up = start()
        eventually(lambda up=up, moment=moment: list(up.folder.glob(moment)), up.printed)
        assert up.stop() < 3 * 10, up.printed()
        assert up.process.returncode == 130, up.printed()
        assert "Traceback" not in up.printed()
        data = up.folder / "postgres"
        assert not data.exists() or (data / "global" / "pg_control").exists()
    up = start()
    up.wait_started()
    up.stop()
    assert up.process.returncode == 0


@pytest.mark.timeout(24 * 3600)
def test_stopped_at_random_moments_it_ends_and_starts_again(start: Start, home: Path) -> None:
    draws = random.Random(SEED)
    took: list[float] = []
    for number in range(N_STOPS):
        if number % 2:
            shutil.rmtree(home, ignore_errors=True)  # every other start is a first one
        up = start()
        with suppress(subprocess.TimeoutExpired):
            up.process.wait(draws.uniform(0, 15))
        assert up.process.poll() is None, up.printed()
        took.append(up.stop())
        data = up.folder / "postgres"
        assert not data.exists() or (data / "global" / "pg_control").exists()
    up = start()
    up.wait_started()
    assert psutil.pid_exists(up.pids()["postgres"])
    up.stop()
    print(f"{N_STOPS} stops, ended within {max(took):.1f} s; seed {SEED}")
    assert max(took) < 3 * 10
