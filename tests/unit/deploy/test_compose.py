"""docker-compose.yml, the Dockerfile and the provisioning files agree with the code."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.kernel.jobs import QUEUES
from services.kernel.security.keys import split_key
from services.kernel.settings import Settings

REPO = Path(__file__).parents[3]
SERVERS = {"postgres", "redis", "prometheus", "grafana"}
ENDING = {"secrets", "migrate", "reader"}
"""Services that do one thing and end."""


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((REPO / "docker-compose.yml").read_text())
    return document["services"]


def known_variables() -> set[str]:
    return {f"HARMONY_{name.upper()}" for name in Settings.model_fields}


def test_everything_that_runs_is_there(services: dict[str, Any]) -> None:
    ours = {"cluster", "ingest", "admin", "operator", "scaler", "beat"} | ENDING
    workers = {f"worker-{queue}" for queue in QUEUES}
    assert set(services) == SERVERS | ours | workers


def test_every_variable_is_a_setting(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name in SERVERS:
            continue
        given = {
            v.removesuffix("__FILE")
            for v in service.get("environment", {})
            if v.startswith("HARMONY_")
        }
        assert given <= known_variables(), (name, given - known_variables())
    mentioned = set(re.findall(r"HARMONY_[A-Z_]+", (REPO / "docker-compose.yml").read_text()))
    mentioned |= set(
        re.findall(r"HARMONY_[A-Z_]+", (REPO / "deploy/docker/Dockerfile").read_text())
    )
    assert {name.removesuffix("__FILE") for name in mentioned} <= known_variables()


def test_every_service_is_checked_or_ends(services: dict[str, Any]) -> None:
    unchecked = {name for name, service in services.items() if "healthcheck" not in service}
    assert unchecked == ENDING
    for name in unchecked:
        waiting = [s for s, v in services.items() if name in v.get("depends_on", {})]
        assert waiting, f"{name} ends and nobody waits for it"
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if needed in ENDING else "service_healthy"
            assert how == {"condition": wanted}, (name, needed)
            assert needed in services


def test_every_service_is_bounded_and_stops_in_its_time(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if name not in {"secrets"}:
            assert "mem_limit" in service, name
        if name not in SERVERS | {"secrets"}:
            assert service["stop_grace_period"] in {"30s", "11m"}, name
            assert service["pids_limit"] == 200, name
    assert services["postgres"]["stop_grace_period"] == "60s"


def test_no_word_of_a_check_holds_a_space(services: dict[str, Any]) -> None:
    """Podman splits them there."""
    for name, service in services.items():
        check = service.get("healthcheck", {}).get("test", [])
        assert not any(" " in word for word in check), name
        if "/hooks/is_up.py" in check:
            assert "./deploy/docker:/hooks:ro" in service["volumes"], name


def test_a_check_tells_up_from_down(tmp_path: Path) -> None:
    is_up = load_script("is_up").main
    young = tmp_path / "schedule"
    assert is_up(str(tmp_path / "sched*")) == 1
    young.touch()
    assert is_up(str(tmp_path / "sched*")) == 0
    os.utime(young, (1.0, 1.0))
    assert is_up(str(tmp_path / "sched*")) == 1
    assert is_up("http://127.0.0.1:1/readyz") == 1


def test_a_check_has_time_to_start_its_python(services: dict[str, Any]) -> None:
    for name, service in services.items():
        check = service.get("healthcheck", {})
        if "python" in check.get("test", []):
            assert int(check["timeout"].removesuffix("s")) >= 20, name
            assert int(check["start_period"].removesuffix("s")) >= 60, name


def test_no_service_waits_for_itself(services: dict[str, Any]) -> None:
    order = TopologicalSorter({n: s.get("depends_on", {}).keys() for n, s in services.items()})
    first = list(order.static_order())
    assert set(first) == set(services)


def test_a_real_cluster_may_stand_in_for_the_simulated_one(services: dict[str, Any]) -> None:
    """Nobody waits for `cluster`, and what the head of the file adds for a real one fits."""
    assert [name for name, s in services.items() if "cluster" in s.get("depends_on", {})] == []
    head = (REPO / "docker-compose.yml").read_text().split("\nx-")[0]
    told = re.findall(r"^#   (.*)$", head.split("For a real cluster")[1], re.MULTILINE)
    added = yaml.safe_load("\n".join(told))["services"]
    assert set(added) == {"operator"}
    assert added["operator"]["environment"]["HARMONY_KUBE_URL"] == ""
    mounted = {volume.split(":")[1] for volume in added["operator"]["volumes"]}
    assert added["operator"]["environment"]["KUBECONFIG"] in mounted


def test_a_simulated_cluster_that_starts_again_knows_the_resources(
    services: dict[str, Any],
) -> None:
    """Its store is its memory; without them the operator would hold until somebody sees it."""
    assert services["cluster"]["restart"] == "unless-stopped"
    assert "--definitions" in services["cluster"]["command"]


def test_the_file_starts_without_anything_set() -> None:
    """`docker compose up` is one command: every variable has a default."""
    text = (REPO / "docker-compose.yml").read_text()
    for reference in re.findall(r"(?<!\$)\$\{([^}]*)\}", text):
        assert re.fullmatch(r"[A-Z_]+:?-.*", reference), reference


def test_secrets_are_in_files_only(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search(r"PASSWORD|TOKEN|SECRET|KEY", variable):
                assert variable.endswith("_FILE"), (name, variable)
                assert value.startswith("/run/harmony/"), (name, variable)
            assert not re.search(r"://[^@/]*:[^@/]+@", str(value)), (name, variable)
        if "/run/harmony/" in str(service.get("environment")):
            assert "secrets:/run/harmony:ro" in service["volumes"], name
    drawn = set(load_script("make_secrets").SECRETS)
    asked = set(re.findall(r"/run/harmony/([a-z-]+)", (REPO / "docker-compose.yml").read_text()))
    assert asked == drawn
    source = (REPO / "deploy/grafana/provisioning/datasources/datasources.yml").read_text()
    assert "$__file{/run/harmony/reader-password}" in source


def test_valkey_has_a_password_and_only_those_that_use_it_reach_it(
    services: dict[str, Any],
) -> None:
    valkey = services["redis"]
    assert valkey["command"] == ["valkey-server", "/run/harmony/redis-conf"]
    assert "ports" not in valkey
    assert valkey["networks"] == ["redis"]
    document = yaml.safe_load((REPO / "docker-compose.yml").read_text())
    assert document["networks"]["redis"] == {"internal": True}
    there = {name for name, one in services.items() if "redis" in one.get("networks", ["default"])}
    users = {"admin", "ingest", "beat", *(f"worker-{queue}" for queue in QUEUES)}
    assert there == users | {"redis"}
    for name in users:
        assert services[name]["networks"] == ["default", "redis"], name
        environment = services[name]["environment"]
        assert environment["HARMONY_REDIS_URL__FILE"] == "/run/harmony/redis-url", name


def load_script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, REPO / f"deploy/docker/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_secrets_are_drawn_once(tmp_path: Path) -> None:
    make = load_script("make_secrets")
    (tmp_path / "push-token").write_text("mine")
    assert make.main(tmp_path) == 0
    first = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(first) == set(make.SECRETS)
    assert first["push-token"] == "mine"
    assert split_key(first["admin-key"]) is not None
    password = first["redis-conf"].removeprefix("requirepass ").strip()
    assert len(password) == 32
    assert first["redis-url"] == f"redis://:{password}@redis:6379/0"
    assert make.main(tmp_path) == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == first


def test_a_command_gets_its_secrets_from_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    script = REPO / "deploy/docker/with_secrets.py"
    code = "import os; print(os.environ['A'], os.environ['B'], 'A__FILE' in os.environ)"
    command = [sys.executable, str(script), sys.executable, "-c", code]
    env = {"A__FILE": str(tmp_path / "token"), "B": "kept", "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "t0ken kept False\n"
    env["A__FILE"] = str(tmp_path / "absent")
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert str(tmp_path / "absent") in done.stderr


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed")
def test_compose_itself_accepts_the_file() -> None:
    command = ["docker", "compose", "--file", str(REPO / "docker-compose.yml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "is not a docker command" in done.stderr:
        pytest.skip("docker has no compose here")
    assert done.returncode == 0, done.stderr


def test_every_command_is_a_program_of_ours(services: dict[str, Any]) -> None:
    from typer.main import get_command

    from services.cli.application import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]  # a group
    for name, service in services.items():
        command = service.get("command")
        if command is None or name in SERVERS:
            continue
        if command[:2] == ["python", "-m"]:
            spec = importlib.util.find_spec(command[2])
            assert spec is not None, (name, command)
        elif command[0] == "python":
            mounts = dict(v.split(":")[:2][::-1] for v in service["volumes"])
            folder, _, file = command[1].rpartition("/")
            assert (REPO / mounts[folder] / file).is_file(), (name, command)
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
            assert service["security_opt"] == ["no-new-privileges:true"]
            assert ("user" in service) == (name == "secrets"), name


def test_every_build_target_is_in_the_dockerfile(services: dict[str, Any]) -> None:
    dockerfile = (REPO / "deploy/docker/Dockerfile").read_text()
    targets = set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE))
    used = {s["build"]["target"] for s in services.values() if "build" in s}
    assert used <= targets
    assert targets - used == {"build", "ours", "layer", "runtime", "harmony"}
    runtime = dockerfile.split(" AS runtime\n")[1]
    assert "USER 10001:10001" in runtime.split("\nFROM ")[0]
    assert dockerfile.rstrip().split("\nFROM ")[-1].startswith("runtime AS harmony\n")
    for name, service in services.items():
        target = service.get("build", {}).get("target")
        stage = dockerfile.split(f" AS {target}\n")[-1].split("\nFROM ")[0]
        command = json.loads(stage.split("CMD ")[1].splitlines()[0]) if target else []
        if target and name not in {"secrets", "reader"}:
            assert service["command"][: len(command)][:2] == command[:2], name
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
        "scaler": "HARMONY_SCALER_METRICS_PORT",
    }
    workers = [name for name in services if name.startswith("worker-")]
    assert len(workers) == 4
    ports |= dict.fromkeys([*workers, "beat"], "HARMONY_WORKER_METRICS_PORT")
    assert targets == {f"{s}:{services[s]['environment'][v]}" for s, v in ports.items()}
    assert all(job["honor_labels"] is True for job in jobs)
    (rules,) = config["rule_files"]
    assert list((REPO / "deploy/prometheus").glob(rules))


def test_what_others_scrape_listens_for_them(services: dict[str, Any]) -> None:
    serving = {
        name: service["environment"]
        for name, service in services.items()
        if any(v.endswith("METRICS_PORT") for v in service.get("environment", {}))
    }
    assert len(serving) == 7
    assert {name: env["HARMONY_HOST"] for name, env in serving.items()} == dict.fromkeys(
        serving, "0.0.0.0"
    )


def test_grafana_is_provisioned_with_what_the_dashboards_use(services: dict[str, Any]) -> None:
    folder = REPO / "deploy/grafana"
    sources = yaml.safe_load((folder / "provisioning/datasources/datasources.yml").read_text())
    kinds = {source["type"] for source in sources["datasources"]}
    for path in (folder / "dashboards").glob("*.json"):
        variables = json.loads(path.read_text())["templating"]["list"]
        used = {one["query"] for one in variables if one["type"] == "datasource"}
        assert used == kinds
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
            inner = path.relative_to(REPO).parts
            if not path.is_file() or any(p.startswith((".", "__pycache__")) for p in inner):
                continue
            package = path.parent
            while not (package / "__init__.py").exists():
                package = package.parent
            inside = path.relative_to(package).as_posix()
            name = ".".join(package.relative_to(REPO).parts)
            if path.suffix == ".py":
                assert package == path.parent, f"{path.parent} has no __init__.py"
                continue
            if ("/" not in inside and path.suffix == ".md") or path.suffix in {".proto", ".pyi"}:
                continue  # for readers of the source; what is made of a .proto is there
            globs = patterns["*"] + patterns.get(name, [])
            fits = [
                g for g in globs if fnmatch.fnmatch(inside, g) and g.count("/") == inside.count("/")
            ]
            assert fits, f"{path.relative_to(REPO)} is not in the package"
