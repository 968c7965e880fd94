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


def _report(label: str, times_ms: list[float], cpu_s: float) -> None:
    """Print one line; the server's CPU time per call does not depend on what else runs."""
    ordered = sorted(times_ms)
    p95_ms = ordered[math.ceil(0.95 * (len(ordered) - 1))]
    print(
        f"{label:19} median {statistics.median(ordered):7.2f} ms   p95 {p95_ms:7.2f} ms   "
        f"server CPU {1e3 * cpu_s / len(ordered):6.2f} ms"
    )


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def _timed(
    label: str, process: psutil.Process, n: int, call: Callable[[int], httpx.Response]
) -> None:
    times_ms = []
    before_s = _cpu_s(process)
    for i in range(n):
        start = time.perf_counter()
        call(i).raise_for_status()
        times_ms.append((time.perf_counter() - start) * 1e3)
    _report(label, times_ms, _cpu_s(process) - before_s)


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
        _timed("start 1,008 pods", process, 2, advance)
        _timed("list 1,008 pods", process, 50, lambda i: http.get("/api/v1/pods"))
        _timed("get a scale", process, 200, lambda i: http.get(f"{_DEPLOYMENTS}/w1/scale"))
        _timed("patch a scale", process, 240, scale)
        times_ms, used_s = [], 0.0
        for i in range(N_STEPS):
            for k in range(N_WORKLOADS):
                scale(i * N_WORKLOADS + k).raise_for_status()
            before_s, start = _cpu_s(process), time.perf_counter()
            advance(i + 2).raise_for_status()
            times_ms.append((time.perf_counter() - start) * 1e3)
            used_s += _cpu_s(process) - before_s
        _report(f"advance {N_WORKLOADS} moving", times_ms, used_s)
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
