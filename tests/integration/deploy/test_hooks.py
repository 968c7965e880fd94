"""The programs that the chart's init containers and hooks run, run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml
from sqlalchemy import Engine, create_engine, text

from services.kernel.db.migrations import head_revision, migrate
from services.kernel.db.session import make_engine, sqlalchemy_url
from services.lab.cluster.kubeconfig import make_kubeconfig
from tests.integration.deploy.guarded import NAMESPACE, RBAC, Guard
from tests.unit.deploy.chart import CHART, named, render

pytestmark = pytest.mark.integration

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def command(kind: str, name: str) -> list[str]:
    """What a pod of the chart runs, with the files of the chart in place of its mounts."""
    spec = named(render(), kind, name)["spec"]["template"]["spec"]
    first = (spec.get("initContainers") or spec["containers"])[0]["command"]
    assert first[:1] == ["python"]
    script = CHART / "files" / Path(first[1]).name
    maps = {m["name"] for m in first_mounts(spec) if first[1].startswith(m["mountPath"])}
    (volume,) = (v for v in spec["volumes"] if v["name"] in maps)
    kept = named(render(), "ConfigMap", volume["configMap"]["name"])["data"][script.name]
    assert kept.strip() == script.read_text().strip()
    return [sys.executable, str(script), *first[2:]]


def first_mounts(spec: dict[str, list[dict[str, list[dict[str, str]]]]]) -> list[dict[str, str]]:
    return (spec.get("initContainers") or spec["containers"])[0]["volumeMounts"]


def migrate_job() -> str:
    (name,) = (
        m["metadata"]["name"]
        for m in render()
        if m["kind"] == "Job" and "migrate" in m["metadata"]["name"]
    )
    return str(name)


def run(argv: list[str], limit_s: float = 0.0, **env: str) -> subprocess.CompletedProcess[str]:
    given = os.environ | {"HARMONY_WAIT_LIMIT_S": str(limit_s)} | env
    return subprocess.run(argv, env=given, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def empty_database(server_urls: tuple[str, str]) -> Engine:
    name = "empty_for_the_chart"
    admin = create_engine(sqlalchemy_url(server_urls[0]), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    head, _, query = server_urls[0].partition("?")
    return make_engine(f"{head.rsplit('/', 1)[0]}/{name}?{query}")


def url_of(engine: Engine) -> str:
    url = engine.url.set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


@pytest.mark.slow
def test_a_pod_waits_for_the_schema_and_then_goes_on(empty_database: Engine) -> None:
    argv, url = command("Deployment", "harmony-admin"), url_of(empty_database)
    waiting = run(argv, HARMONY_DATABASE_URL=url)
    assert waiting.returncode == 1
    assert f"revision none, waiting for {head_revision()} (harmony migrate)" in waiting.stdout
    migration = command("Job", migrate_job())
    assert run(migration, HARMONY_DATABASE_URL=url).returncode == 0
    migrate(empty_database)
    done = run(argv, HARMONY_DATABASE_URL=url)
    assert (done.returncode, done.stderr) == (0, "")
    assert head_revision() in done.stdout
    empty_database.dispose()


@pytest.mark.slow
def test_a_database_that_is_away_is_waited_for_and_named() -> None:
    url = "postgresql://harmony:secret@127.0.0.1:1/harmony"
    for argv in (command("Deployment", "harmony-admin"), command("Job", migrate_job())):
        done = run(argv, HARMONY_DATABASE_URL=url)
        assert done.returncode == 1
        assert "database cannot be reached" in done.stdout
        assert "gave up after 0 s" in done.stderr
        assert "secret" not in done.stdout + done.stderr


def test_a_wrong_url_is_said_at_once() -> None:
    done = run(command("Deployment", "harmony-admin"), 60.0, HARMONY_DATABASE_URL="mysql://x")
    assert done.returncode == 2
    assert "must be a Postgres URL" in done.stderr


def test_the_hook_brings_old_definitions_to_this_version(
    admin: httpx.Client, guard: Guard, tmp_path: Path
) -> None:
    """With the rights that the chart gives the hook, and no others."""
    manifests = render(is_upgrade=True)
    name = f"{NAMESPACE}-harmony-crds"
    account = named(manifests, "ServiceAccount", "harmony-crds")
    accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
    for path, manifest in (
        (accounts, account),
        (f"{RBAC}/clusterroles", named(manifests, "ClusterRole", name)),
        (f"{RBAC}/clusterrolebindings", named(manifests, "ClusterRoleBinding", name)),
    ):
        admin.post(path, json=manifest).raise_for_status()
    asked = {"namespace": NAMESPACE, "name": "harmony-crds"}
    token = admin.post("/lab/tokens", json=asked).json()["token"]
    config = tmp_path / "kubeconfig"
    config.write_text(yaml.safe_dump(make_kubeconfig(str(admin.base_url).rstrip("/"), token)))

    gone, old = "slaclasses.scaling.harmony.dev", "gpubudgets.scaling.harmony.dev"
    admin.delete(f"{CRDS}/{gone}").raise_for_status()
    headers = {"Content-Type": "application/merge-patch+json"}
    names = {"spec": {"names": {"shortNames": ["old"]}}}
    admin.patch(f"{CRDS}/{old}", json=names, headers=headers).raise_for_status()

    guard.forget()
    done = run(command("Job", "harmony-crds"), KUBECONFIG=str(config), HARMONY_KUBE_URL="")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(" applied\n") == 3
    for path in sorted((CHART / "crds").iterdir()):
        wanted = yaml.safe_load(path.read_text())
        found = admin.get(f"{CRDS}/{wanted['metadata']['name']}").json()
        assert found["spec"]["names"] == wanted["spec"]["names"]
        assert found["spec"]["versions"] == wanted["spec"]["versions"]
    counted = admin.get("/lab/requests").json()["requests"]
    used = {(c["verb"], c["resource"]) for c in counted if c["user"].endswith(":harmony-crds")}
    assert used == {("patch", "customresourcedefinitions")}


def test_the_hook_without_rights_says_which(
    admin: httpx.Client, guard: Guard, tmp_path: Path
) -> None:
    config = tmp_path / "kubeconfig"
    url = str(admin.base_url).rstrip("/")
    config.write_text(yaml.safe_dump(make_kubeconfig(url, guard.token)))  # the operator's
    done = run(command("Job", "harmony-crds"), KUBECONFIG=str(config), HARMONY_KUBE_URL="")
    assert done.returncode == 1
    assert 'cannot patch resource "customresourcedefinitions"' in done.stderr
