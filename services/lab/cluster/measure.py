"""`python -m services.lab.cluster.measure`: the server's speed and memory with 1,000 pods."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

N_WORKLOADS = 24
PODS_EACH = 42
N_STEPS = 100
START_S = 1_767_571_200
_DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
_MERGE = {"Content-Type": "application/merge-patch+json"}


def _manifest(name: str) -> dict[str, Any]:
    labels = {"app": name}
    annotations = {
        "lab.harmony.dev/startup-median": "45s",
        "lab.harmony.dev/startup-sigma": "0.3",
        "lab.harmony.dev/startup-fail-probability": "0.01",
    }
    resources = {"limits": {"nvidia.com/gpu": "1"}}
    pod = {
        "nodeSelector": {"nvidia.com/gpu.product": "H100"},
        "containers": [{"name": "main", "image": "model", "resources": resources}],
    }
    template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod}
    selector = {"matchLabels": labels}
    spec = {"replicas": PODS_EACH, "selector": selector, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def _timed(n: int, call: Callable[[int], httpx.Response]) -> str:
    times_ms = []
    for i in range(n):
        start = time.perf_counter()
        call(i).raise_for_status()
        times_ms.append((time.perf_counter() - start) * 1e3)
    times_ms.sort()
    p95_ms = times_ms[math.ceil(0.95 * (n - 1))]
    return f"median {statistics.median(times_ms):6.2f} ms   p95 {p95_ms:6.2f} ms"


def measure(url: str, process: psutil.Process) -> None:
    """Print the figures of a fresh server at `url`."""
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:

        def advance(step: int) -> httpx.Response:
            to = datetime.fromtimestamp(START_S + 60 * (step + 1), UTC)
            return http.post("/lab/advance", json={"to": to.isoformat()})

        def scale(i: int) -> httpx.Response:
            replicas = PODS_EACH - 2 + (i + i // N_WORKLOADS) % 3
            path = f"{_DEPLOYMENTS}/w{i % N_WORKLOADS}/scale"
            return http.patch(path, json={"spec": {"replicas": replicas}}, headers=_MERGE)

        for i in range(N_WORKLOADS):
            http.post(_DEPLOYMENTS, json=_manifest(f"w{i}")).raise_for_status()
        print("start 1,008 pods  ", _timed(2, advance))
        print("list 1,008 pods   ", _timed(20, lambda i: http.get("/api/v1/pods")))
        print("get a scale       ", _timed(200, lambda i: http.get(f"{_DEPLOYMENTS}/w1/scale")))
        print("patch a scale     ", _timed(240, scale))
        times = []
        for i in range(N_STEPS):
            for k in range(N_WORKLOADS):
                scale(i * N_WORKLOADS + k).raise_for_status()
            start = time.perf_counter()
            advance(i + 2).raise_for_status()
            times.append((time.perf_counter() - start) * 1e3)
        times.sort()
        middle, p95 = times[N_STEPS // 2], times[int(0.95 * N_STEPS)]
        print(f"advance {N_WORKLOADS} moving  median {middle:6.2f} ms   p95 {p95:6.2f} ms")
        print(f"memory              {process.memory_info().rss / 2**20:.0f} MiB, watch log full")


def main() -> int:
    """Start a server, measure it, end it."""
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        options = ["--clock", "lab", "--start", "2026-01-05T00:00:00Z", "--nodes", "H100=130x8"]
        command = [sys.executable, "-m", "services.lab.cluster", *options]
        with subprocess.Popen([*command, "--port-file", str(port_file)]) as server:
            try:
                while not port_file.exists() and server.poll() is None:
                    time.sleep(0.05)
                if server.poll() is not None:
                    return 1
                url = f"http://127.0.0.1:{port_file.read_text().strip()}"
                measure(url, psutil.Process(server.pid))
            finally:
                start = time.perf_counter()
                server.terminate()
                server.wait()
                print(f"SIGTERM to exit     {time.perf_counter() - start:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
