"""`harmony up`: the platform in real time, looked at through its interfaces."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
import yaml

from services.platform.embedded_servers import default_home
from services.scaler.api import METRIC
from services.scaler.proto import externalscaler_pb2 as pb
from services.scaler.proto.externalscaler_pb2_grpc import ExternalScalerStub

pytestmark = pytest.mark.e2e
REPO = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path if os.geteuid() != 0 else default_home() / f"e2e-{uuid.uuid4().hex[:8]}"
    yield folder
    if folder != tmp_path:
        shutil.rmtree(folder, ignore_errors=True)


def eventually(ask, what: str):
    """The first true answer within three minutes: a first start beside other tests takes one."""
    deadline = time.monotonic() + 180
    while not (found := ask()):
        assert time.monotonic() < deadline, f"never saw {what}"
        time.sleep(0.2)
    return found


def shown(log: Path, pattern: str) -> str:
    """Part of what `up` has printed."""
    found = re.search(pattern, log.read_text())
    assert found, log.read_text()
    return found[1]


@pytest.mark.slow
def test_a_workload_registered_in_the_cluster_shows_in_the_api(home: Path, tmp_path: Path) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HARMONY_")}
    env = {**kept, "HARMONY_HOME": str(home), "HARMONY_INGEST_PORT": "0"}
    env["HARMONY_SCALER_PORT"] = "0"
    log = tmp_path / "up.log"
    command = [sys.executable, "-m", "services.cli", "up", "--port", "0", "--scaler"]
    with log.open("wb") as stream:
        up = subprocess.Popen(
            command, env={**env, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}, stdout=stream
        )
    try:
        eventually(lambda: up.poll() is not None or "Ctrl-C ends." in log.read_text(), "a start")
        assert up.poll() is None, log.read_text()
        key, api_url = shown(log, r"admin key\s+(hk_\S+)"), shown(log, r"console\s+(http\S+)")
        scaler = shown(log, r"external scaler\s+(\S+) \(gRPC\)")
        kubeconfig = yaml.safe_load((home / "up" / "kubeconfig").read_text())
        server = kubeconfig["clusters"][0]["cluster"]["server"]
        manifest = yaml.safe_load((REPO / "deploy/examples/gpuautoscaler.yaml").read_text())
        path = "/apis/scaling.harmony.dev/v1alpha1/namespaces/serving/gpuautoscalers"
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "serving"}}
        httpx.post(f"{server}/api/v1/namespaces", json=namespace).raise_for_status()
        httpx.post(server + path, json=manifest).raise_for_status()
        headers = {"Authorization": f"Bearer {key}"}
        url = f"{api_url}/v1/workloads"

        token = shown(log, r"push token\s+(hp_\S+)")
        file = home / "up" / "push-token"
        assert (file.read_text(), file.stat().st_mode & 0o777) == (f"{token}\n", 0o600)
        push = shown(log, r"push API\s+(http\S+)")
        refused_push = httpx.post(push, json={"observations": []})
        assert refused_push.status_code == 401
        assert str(file) in refused_push.json()["detail"]
        credential = {"Authorization": f"Bearer {token}"}
        taken = httpx.post(push, json={"observations": []}, headers=credential)
        assert (taken.status_code, taken.json()["code"]) == (422, "invalid_input")

        def registered() -> bool:
            return "llama" in httpx.get(url, headers=headers).text

        assert eventually(registered, "the workload in the API")
        status = [sys.executable, "-m", "services.cli", "status", "--json"]
        listed = subprocess.run(status, env=env, capture_output=True, text=True, check=True)
        assert '"serving/llama"' in listed.stdout
        asked = pb.ScaledObjectRef(namespace="serving", scalerMetadata={"autoscaler": "llama"})
        request = pb.GetMetricsRequest(scaledObjectRef=asked, metricName=METRIC)
        with grpc.insecure_channel(scaler) as channel:
            stub = ExternalScalerStub(channel)

            def refusal() -> grpc.RpcError | None:
                try:
                    stub.GetMetrics(request, timeout=10)
                except grpc.RpcError as error:
                    return error
                return None  # a decision that the operator has not yet looked at

            refused = eventually(refusal, "a refusal")
        assert refused.code() is grpc.StatusCode.FAILED_PRECONDITION
        # its first decision may be there by now; its target never is
        words = refused.details()
        told = ("has no decision yet", "is held (the operator held decision")
        assert any(f"GPUAutoscaler serving/llama {one}" in words for one in told), words
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(15)
    assert up.returncode == 0
