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
from contextlib import suppress
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


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path if os.geteuid() != 0 else default_home() / f"e2e-{uuid.uuid4().hex[:8]}"
    yield folder
    if folder != tmp_path:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start(home: Path, tmp_path: Path) -> Iterator[Start]:
    started: list[UpProcess] = []

    def start() -> UpProcess:
        started.append(UpProcess(home, tmp_path / f"up-{len(started)}.log"))
        return started[-1]

    yield start
    for up in started:
        up.end()


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


def test_killed_servers_and_processes_are_back_and_a_killed_platform_leaves_no_trace(
    start: Start,
) -> None:
    up = start()
    up.wait_started()
    before = up.pids()
    for name in ("postgres", "valkey", "cluster", "operator"):
        up.kill(name)
        assert f"{name} was killed by SIGKILL; it starts again in 0.5 s" in up.printed()
    assert up.pids().keys() == before.keys()
    create_workload(up)
    see_workload(up)
    up.stop(signal.SIGKILL)
    again = start()  # in the same folder, at once
    again.wait_started()
    assert "the one shown at the first start" in again.printed()
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
def test_every_process_killed_again_and_again_is_back(start: Start) -> None:
    up = start()
    up.wait_started()
    names = list(up.pids())
    took: dict[str, list[float]] = {name: [] for name in names}
    order = [name for name in names for _ in range(N_KILLS)]
    random.Random(SEED).shuffle(order)
    for name in order:
        took[name].append(up.kill(name))
    for name, seconds in took.items():
        print(f"{name}: {len(seconds)} kills, back within {max(seconds):.1f} s")
    create_workload(up)
    see_workload(up)
    up.stop()
    assert max(map(max, took.values())) < 3 * 20


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
