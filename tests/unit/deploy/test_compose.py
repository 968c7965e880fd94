"""docker-compose.yml, the Dockerfile and the provisioning files agree with the code."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.kernel.jobs import QUEUES
from services.kernel.settings import Settings

REPO = Path(__file__).parents[3]
SERVERS = {"postgres", "redis", "prometheus", "grafana"}
# Read by compose or by other images, not by Harmony.
FOREIGN = {"HARMONY_POSTGRES_PASSWORD", "HARMONY_GRAFANA_PASSWORD"}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((REPO / "docker-compose.yml").read_text())
    return document["services"]


def known_variables() -> set[str]:
    return {f"HARMONY_{name.upper()}" for name in Settings.model_fields}


def test_everything_that_runs_is_there(services: dict[str, Any]) -> None:
    ours = {"migrate", "cluster", "ingest", "admin", "operator", "beat"}
    workers = {f"worker-{queue}" for queue in QUEUES}
    assert set(services) == SERVERS | ours | workers


def test_every_variable_is_a_setting(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name in SERVERS:
            continue
        given = {v for v in service["environment"] if v.startswith("HARMONY_")}
        assert given <= known_variables(), (name, given - known_variables())
    mentioned = set(re.findall(r"HARMONY_[A-Z_]+", (REPO / "docker-compose.yml").read_text()))
    mentioned |= set(
        re.findall(r"HARMONY_[A-Z_]+", (REPO / "deploy/docker/Dockerfile").read_text())
    )
    assert mentioned <= known_variables() | FOREIGN


def test_every_service_is_checked_or_ends(services: dict[str, Any]) -> None:
    unchecked = {name for name, service in services.items() if "healthcheck" not in service}
    assert unchecked == {"migrate"}
    for name in unchecked:
        waiting = [s for s, v in services.items() if name in v.get("depends_on", {})]
        assert waiting, f"{name} ends and nobody waits for it"
    for service in services.values():
        for needed in service.get("depends_on", {}):
            assert needed in services


def test_every_command_is_a_program_of_ours(services: dict[str, Any]) -> None:
    from typer.main import get_command

    from services.cli.application import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]  # a group
    for name, service in services.items():
        command = service.get("command")
        if command is None:
            continue
        if command[:2] == ["python", "-m"]:
            spec = importlib.util.find_spec(command[2])
            assert spec is not None, (name, command)
        else:
            assert command[0] == "harmony"
            assert command[1] in known, (name, command)
    queues = {
        argument.removeprefix("--queues=")
        for service in services.values()
        for argument in service.get("command", [])
        if argument.startswith("--queues=")
    }
    assert queues == set(QUEUES)


def test_containers_are_confined(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), (name, port)
        if name not in SERVERS:
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]


def test_every_build_target_is_in_the_dockerfile(services: dict[str, Any]) -> None:
    dockerfile = (REPO / "deploy/docker/Dockerfile").read_text()
    targets = set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE))
    used = {s["build"]["target"] for s in services.values() if "build" in s}
    assert used <= targets
    assert targets - used == {"build", "runtime"}
    runtime = dockerfile.split(" AS runtime\n")[1]
    assert "USER 10001" in runtime.split("\nFROM ")[0]
    for line in dockerfile.splitlines():
        if line.startswith(("RUN", "ADD")):
            assert not re.search(r"curl|wget|git clone|https?://", line), line


def test_the_image_gets_every_package_that_it_installs() -> None:
    ignored = (REPO / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copied = re.findall(
        r"^COPY (?!--from)(.+) \S+$", (REPO / "deploy/docker/Dockerfile").read_text(), re.M
    )
    wanted = {name for line in copied for name in line.split()}
    assert wanted <= allowed
    for name in wanted:
        assert (REPO / name).exists(), name


def test_prometheus_scrapes_the_ports_that_compose_gives(services: dict[str, Any]) -> None:
    config = yaml.safe_load((REPO / "deploy/prometheus/prometheus.yml").read_text())
    jobs = config["scrape_configs"]
    targets = {t for job in jobs for group in job["static_configs"] for t in group["targets"]}
    ports = {
        "admin": "HARMONY_PORT",
        "ingest": "HARMONY_INGEST_PORT",
        "operator": "HARMONY_OPERATOR_METRICS_PORT",
    }
    workers = [name for name in services if name.startswith("worker-")]
    assert len(workers) == 4
    ports |= dict.fromkeys(workers, "HARMONY_WORKER_METRICS_PORT")
    assert targets == {f"{s}:{services[s]['environment'][v]}" for s, v in ports.items()}


def test_grafana_is_provisioned_with_what_the_dashboards_use(services: dict[str, Any]) -> None:
    folder = REPO / "deploy/grafana"
    sources = yaml.safe_load((folder / "provisioning/datasources/datasources.yml").read_text())
    uids = {source["uid"] for source in sources["datasources"]}
    for path in (folder / "dashboards").glob("*.json"):
        used = set(re.findall(r'"uid": "(harmony-(?:postgres|prometheus))"', path.read_text()))
        assert used <= uids
    provider = yaml.safe_load((folder / "provisioning/dashboards/dashboards.yml").read_text())
    inside = provider["providers"][0]["options"]["path"]
    assert any(v.endswith(f":{inside}:ro") for v in services["grafana"]["volumes"])


def test_the_package_holds_every_module_and_file() -> None:
    """An image installs the package, so what is not in it is not there."""
    import fnmatch
    import tomllib

    config = tomllib.loads((REPO / "pyproject.toml").read_text())
    patterns: dict[str, list[str]] = config["tool"]["setuptools"]["package-data"]
    for root in ("forecaster", "decider", "services"):
        for path in sorted((REPO / root).rglob("*")):
            if not path.is_file() or "__pycache__" in path.parts:
                continue
            package = path.parent
            while not (package / "__init__.py").exists():
                package = package.parent
            inside = path.relative_to(package).as_posix()
            name = ".".join(package.relative_to(REPO).parts)
            if path.suffix == ".py":
                assert package == path.parent, f"{path.parent} has no __init__.py"
                continue
            if "/" not in inside and path.name.endswith(".md"):
                continue  # notes for readers of the source
            globs = patterns["*"] + patterns.get(name, [])
            fits = [
                g for g in globs if fnmatch.fnmatch(inside, g) and g.count("/") == inside.count("/")
            ]
            assert fits, f"{path.relative_to(REPO)} is not in the package"
