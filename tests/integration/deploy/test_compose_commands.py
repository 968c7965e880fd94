"""Every process of docker-compose.yml starts as the file says, is up by its check, and stops."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from services.lab.cluster.kubeconfig import make_kubeconfig

pytestmark = [pytest.mark.integration, pytest.mark.slow]

REPO = Path(__file__).parents[3]
SERVERS = {"postgres", "redis", "prometheus", "grafana", "secrets"}
ENDING = ("migrate", "reader")
PATIENCE_S = 120.0
PLURALS = {"SLAClass": "slaclasses"}


class Compose:
    """The services of the file, as processes of this machine."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        document = yaml.safe_load((REPO / "docker-compose.yml").read_text())
        self.services: dict[str, Any] = document["services"]
        self.folder, self.database_url = folder, database_url
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, str] = {}
        secrets = folder / "secrets"
        secrets.mkdir()
        self.once("secrets")
        (secrets / "redis-url").chmod(0o600)
        (secrets / "redis-url").write_text(redis_url)

    def here(self, value: str) -> str:
        """A word of the file on this machine: its folders, hosts and ports."""
        secrets = str(self.folder / "secrets")
        value = re.sub(r"\$\{[A-Z_]+:?-([^}]*)\}", r"\1", value)  # nothing is set
        for there, place in (
            ("/hooks/", f"{REPO}/deploy/docker/"),
            ("/grafana/reader.sql", f"{REPO}/deploy/grafana/reader.sql"),
            ("/run/harmony", secrets),
            ("/tmp/*/", f"{self.folder}/*/"),
            ("postgresql://harmony@postgres:5432/harmony", self.database_url),
            ("//cluster:", "//127.0.0.1:"),
            ("0.0.0.0", "127.0.0.1"),
        ):
            value = value.replace(there, place)
        return re.sub(r"(?<![\d.])(80\d\d)(?!\d)", lambda found: self.port(found[1]), value)

    def port(self, number: str) -> str:
        """A free port in the place of one of the file."""
        if number not in self.ports:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.ports[number] = str(free.getsockname()[1])
        return self.ports[number]

    def command(self, name: str) -> list[str]:
        """Entry point and command of a service."""
        service = self.services[name]
        words = [self.here(word) for word in [*service.get("entrypoint", []), *service["command"]]]
        programs = {"python": [sys.executable], "harmony": [sys.executable, "-m", "services.cli"]}
        return [part for word in words for part in programs.get(word, [word])]

    def environment(self, name: str) -> dict[str, str]:
        """What the service is given, and what a process needs on this machine."""
        self.ports.pop("8083", None)  # of every worker: a container has its ports for itself
        given = {
            k: self.here(str(v)) for k, v in self.services[name].get("environment", {}).items()
        }
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HARMONY_", "PG"))}
        return {**kept, "PYTHONPATH": str(REPO), "TMPDIR": str(self.folder), **given}

    def once(self, name: str) -> None:
        """Run a service that ends."""
        done = subprocess.run(
            self.command(name),
            env=self.environment(name),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"

    def start(self, name: str) -> None:
        """Start a service and wait for it."""
        environment = self.environment(name)
        with (self.folder / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(self.command(name), env=environment, stderr=log)
        self.wait(name)

    def wait(self, name: str, *, is_up: bool = True) -> None:
        """Wait until the check of a service finds it up, or finds that it is not."""
        check = [self.here(word) for word in self.services[name]["healthcheck"]["test"][1:]]
        check[0] = sys.executable
        deadline = time.monotonic() + PATIENCE_S
        while is_up != (subprocess.run(check, capture_output=True, check=False).returncode == 0):
            said = (self.folder / f"{name}.log").read_text()[-2000:]
            assert self.running[name].poll() is None, f"{name}: {said}"
            assert time.monotonic() < deadline, f"{name}: {said}"
            time.sleep(0.5)  # another process's work cannot be awaited otherwise

    def stop(self, name: str) -> int:
        """Stop a service as docker does; its status."""
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(30)


@pytest.fixture
def compose(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Compose]:
    made = Compose(tmp_path, database_url, redis_url)
    yield made
    for process in made.running.values():
        process.kill()
        process.wait()


def test_every_service_starts_is_up_and_stops(compose: Compose) -> None:
    lasting = [name for name in compose.services if name not in {*SERVERS, *ENDING, "cluster"}]
    for name in ENDING:
        compose.once(name)
    compose.start("cluster")
    for name in lasting:
        compose.start(name)
        # what is told to end before it has begun need not answer
        assert compose.stop(name) in {0, -signal.SIGTERM}, name
    with psycopg.connect(compose.database_url, user="harmony_reader") as reader:
        reader.execute("SELECT count(*) FROM workloads")


def test_the_operator_goes_on_with_a_cluster_that_started_again(compose: Compose) -> None:
    compose.once("migrate")
    compose.start("cluster")
    compose.start("operator")
    compose.stop("cluster")
    compose.wait("operator", is_up=False)
    compose.start("cluster")
    compose.wait("operator")


def told_manifests() -> list[dict[str, Any]]:
    """Objects that the head of the file has applied, in their order."""
    head = (REPO / "docker-compose.yml").read_text().split("\nx-")[0]
    found: list[dict[str, Any]] = []
    for name in re.findall(r"-f (deploy/examples/\S+)", head):
        manifest = yaml.safe_load((REPO / name).read_text())
        found += manifest["items"] if manifest["kind"] == "List" else [manifest]
    return found


def test_what_the_head_applies_is_taken_and_its_target_found(compose: Compose) -> None:
    compose.once("migrate")
    compose.start("cluster")
    compose.start("operator")
    with httpx.Client(base_url=compose.here("http://cluster:8001")) as cluster:
        for manifest in told_manifests():
            where = manifest["metadata"].get("namespace")
            root = "api/v1" if manifest["apiVersion"] == "v1" else f"apis/{manifest['apiVersion']}"
            middle = f"namespaces/{where}/" if where else ""
            plural = PLURALS.get(manifest["kind"], f"{manifest['kind'].lower()}s")
            answer = cluster.post(f"/{root}/{middle}{plural}", json=manifest)
            assert answer.status_code == 201, answer.text
        path = f"{answer.request.url.path}/{manifest['metadata']['name']}"
        found: dict[str, str] = {}
        deadline = time.monotonic() + PATIENCE_S
        while not found:
            assert time.monotonic() < deadline
            time.sleep(0.5)  # another process's work cannot be awaited otherwise
            status = cluster.get(path).json().get("status") or {}
            found = {one["type"]: one["reason"] for one in status.get("conditions", ())}
    # the class is there, and so is the Deployment
    assert (found["Ready"], found["TargetResolved"]) == ("NoDecision", "TargetFound")


def test_the_operator_takes_a_kubeconfig_in_its_place(compose: Compose) -> None:
    compose.once("migrate")
    compose.start("cluster")
    kubeconfig = compose.folder / "kubeconfig"
    url = compose.here("http://cluster:8001")
    kubeconfig.write_text(yaml.safe_dump(make_kubeconfig(url, "anyone")))
    compose.services["operator"]["environment"] |= {
        "HARMONY_KUBE_URL": "",
        "KUBECONFIG": str(kubeconfig),
    }
    compose.start("operator")
