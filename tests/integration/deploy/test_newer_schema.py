"""An upgrade in mid-flight, and one that was taken back: this code in the schema of the next one.

What is called is what runs there: the init container of a pod that starts again, the readiness
probes of both APIs, the job of the migration, a push.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import Engine, text

from services.admin.app import make_app as make_admin
from services.admin.main import make_deps as make_admin_deps
from services.ingest.api import make_app as make_ingest
from services.ingest.deps import IngestDeps
from services.kernel.clock import SystemClock
from services.kernel.db.migrations import current_revision, head_revision
from services.kernel.db.migrations.seen_schema import load_schema
from services.kernel.db.session import make_engine
from services.kernel.domain import CapacitySpec, IndicatorSpec, WorkloadSpec
from services.kernel.errors import ConfigurationError
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.ingest.conftest import request
from tests.integration.newer_release import NEXT, migrate_by_the_next_release
from tests.unit.deploy.chart import CHART

pytestmark = pytest.mark.integration
WAIT = (sys.executable, str(CHART / "files" / "wait_for_schema.py"))
MIGRATE = (sys.executable, "-m", "services.cli", "migrate")
REFUSAL = (
    f"the database is at revision {NEXT}, which serves code of {NEXT} and later, and this code's "
    f"is {head_revision()}; run the newer image, or restore the backup of before the upgrade"
)


@pytest.fixture
def ours(settings: Settings, database_url: str, redis_url: str) -> Settings:
    """Settings of the processes of this code."""
    return settings.model_copy(update={"database_url": database_url, "redis_url": redis_url})


def run(argv: tuple[str, ...], settings: Settings) -> subprocess.CompletedProcess[str]:
    env = {"HARMONY_WAIT_LIMIT_S": "0", "HARMONY_DATABASE_URL": settings.database_url}
    return subprocess.run(
        argv, env=os.environ | env, capture_output=True, text=True, check=False, timeout=60
    )


@cache
def script() -> ModuleType:
    """What the init containers run, as a module."""
    spec = importlib.util.spec_from_file_location("wait_for_schema", WAIT[1])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ingest_deps(settings: Settings) -> IngestDeps:
    engine = make_engine(settings.database_url)
    return IngestDeps(engine, SystemClock(), RecordingSender(), settings)


def push_a_sample(settings: Settings) -> int:
    """Status of a push for a workload that a process of one cluster has registered."""
    indicator = IndicatorSpec(name="request_rate_rps", level=1, unit="requests/s")
    spec = WorkloadSpec(
        target="Deployment/llama",
        demand=indicator.name,
        indicators=(indicator,),
        capacity=CapacitySpec(per_replica=10.0),
    )
    register = text(
        "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, updated_at) "
        "VALUES ('llm', 'llama', 0, 60, CAST(:spec AS jsonb), now(), now())"
    )
    with make_engine(settings.database_url, cluster="default").begin() as connection:
        connection.execute(register, {"spec": spec.model_dump_json()})
    sample = [SystemClock().now().isoformat(), 3.0]
    series = {"namespace": "llm", "workload": "llama", "indicator": indicator.name}
    body = {"observations": [{**series, "samples": [sample]}]}
    app = make_ingest(ingest_deps(settings))
    return request(app, "POST", "/v1/observations", json=body).status_code


@pytest.mark.slow
def test_a_pod_that_starts_again_is_served_by_the_schema_of_the_next_release(
    database: Engine, ours: Settings, tmp_path: Path
) -> None:
    migrate_by_the_next_release(database, tmp_path, oldest_code=head_revision())
    started = run(WAIT, ours)
    assert (started.returncode, started.stderr) == (0, "")
    migrated = run(MIGRATE, ours)
    assert (migrated.returncode, migrated.stderr) == (0, "")
    assert migrated.stdout.splitlines() == [
        f"database is at revision {NEXT}, newer than this code's {head_revision()}, which it serves"
    ]
    ready = request(make_admin(make_admin_deps(ours)), "GET", "/readyz")
    assert (ready.status_code, ready.json()["checks"]["schema"]) == (200, "ok")
    ready = request(make_ingest(ingest_deps(ours)), "GET", "/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    assert push_a_sample(ours) == 202
    # the upgrade once more, after it was taken back
    migrate_by_the_next_release(database, tmp_path, oldest_code=head_revision())


@pytest.mark.slow
def test_where_the_schema_does_not_serve_it_all_say_so_in_one_line(
    database: Engine, ours: Settings, tmp_path: Path
) -> None:
    migrate_by_the_next_release(database, tmp_path, oldest_code=NEXT)
    started = run(WAIT, ours)
    assert (started.returncode, started.stderr) == (2, f"{REFUSAL}\n")
    migrated = run(MIGRATE, ours)
    assert (migrated.returncode, migrated.stderr) == (2, f"harmony: {REFUSAL}\n")
    with pytest.raises(ConfigurationError, match="run the newer image"):
        make_admin_deps(ours)
    ready = request(make_ingest(ingest_deps(ours)), "GET", "/readyz")
    assert (ready.status_code, ready.json()["detail"]) == (503, REFUSAL)
    assert current_revision(database) == NEXT


def test_an_admin_service_that_runs_on_is_not_ready_in_a_schema_that_does_not_serve_it(
    database: Engine, ours: Settings, tmp_path: Path
) -> None:
    running = make_admin(make_admin_deps(ours))
    assert request(running, "GET", "/readyz").status_code == 200
    migrate_by_the_next_release(database, tmp_path, oldest_code=NEXT)
    ready = request(running, "GET", "/readyz")
    assert ready.status_code == 503
    assert ready.json()["errors"] == [{"field": "schema", "message": REFUSAL}]


@pytest.mark.parametrize("own", ["0032", "0033", "0034", "0040", "0041"])
@pytest.mark.parametrize(
    ("revision", "oldest_code"),
    [("0033", None), ("0034", "0020"), ("0040", "0033"), ("0040", "0040"), ("ae10", None)],
)
def test_pods_wait_for_what_the_code_wants(
    database: Engine, database_url: str, revision: str, oldest_code: str | None, own: str
) -> None:
    """The script is run by pods of the image before too, so it has the rule once more."""
    with database.begin() as connection:
        connection.execute(
            text("UPDATE alembic_version SET version_num = :revision, oldest_code = :oldest_code"),
            {"revision": revision, "oldest_code": oldest_code},
        )
        seen = load_schema(connection, own)
    if seen.is_newer and not seen.is_served:
        with pytest.raises(ConfigurationError) as refused:
            script().state(database_url, own)
        assert refused.value.message == seen.message
    else:
        waiting = f"database is at revision {revision}, waiting for {own} (harmony migrate)"
        assert script().state(database_url, own) == ("" if seen.is_served else waiting)
