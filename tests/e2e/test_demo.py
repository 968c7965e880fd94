"""The whole platform from the command line, as a user runs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy

from services.cli.application import main
from services.forecasting.registry.shipped import shipped_prior
from services.kernel.db.session import sqlalchemy_url
from services.kernel.settings import get_settings
from services.platform.embedded_servers import default_home
from tests.e2e.conftest import N_HOURS, ShortDemo

pytestmark = pytest.mark.e2e

HARMONY = [sys.executable, "-m", "services.cli"]
N_ORIGINS = 6 * N_HOURS + 1
"""The replay's steps, and the step before it that starts the pipeline."""
POLICIES = {"harmony", "hpa", "trailing_percentile", "static_peak", "oracle"}


@contextmanager
def data_folder(instead: Path) -> Iterator[Path]:
    """A data folder that the database's user can reach also when run as root."""
    folder = instead if os.geteuid() != 0 else default_home() / f"e2e-{uuid.uuid4().hex[:8]}"
    yield folder
    if folder != instead:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A data folder of the test's own."""
    with data_folder(tmp_path) as folder:
        yield folder


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder of several tests: a demo finds there what the one before has left."""
    with data_folder(tmp_path_factory.mktemp("home")) as folder:
        yield folder


def environment(home: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HARMONY_")}
    return {**kept, "HARMONY_HOME": str(home)}


def harmony(home: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HARMONY, *arguments],
        env={**environment(home), **extra},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.timeout(900)
def test_a_short_demo_keeps_the_chain_whole(short_demo: ShortDemo) -> None:
    assert "no orphan, no duplicate" in short_demo.output.read_text()
    found = json.loads(short_demo.figures.read_text())
    assert set(found["policies"]) == POLICIES
    assert found["simulated_hours"] == N_HOURS
    assert found["workloads"] == 3
    the_shipped_prior_answers_at_once(short_demo, found["forecasts"])
    rows = found["rows"]
    assert rows["forecasts"] == rows["decisions"] == rows["actions"] == 3 * N_ORIGINS
    assert not any(n for name, n in rows.items() if "without" in name or "twice" in name)
    own = found["policies"]["harmony"]
    assert own["promised"] == 0.01
    assert own["gpu_hours"] > 0
    assert 0 <= own["violation_rate"] <= 1
    # what the platform counts and what the simulator knows must agree
    of_pools = [one for parts in found["pools"].values() for one in parts.values()]
    pooled = sum(one["gpu_hours"]["harmony"] for one in of_pools)
    replicas_are_counted_as_they_were(short_demo, own["gpu_hours"] - pooled)
    felt = found["felt"]
    counted = felt["violation_rate_measured_by_platform"]
    assert counted == pytest.approx(own["violation_rate"], abs=1e-5)
    assert felt["workloads_measured"] == 3
    for service in felt["services"].values():
        counted, true = service["measured"], service["violation_rate"]["harmony"]
        assert counted == pytest.approx(true, abs=1e-5)
    pools_are_scaled_together(short_demo, found["pools"])
    oracle = found["policies"]["oracle"]
    assert oracle["gpu_hours"] <= min(p["gpu_hours"] for p in found["policies"].values()) * 1.05
    page = short_demo.report.read_text()
    assert "<svg" in page
    assert "broke the promise of 1 %" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert short_demo.end() == 0, short_demo.output.read_text()
    assert not leftovers(short_demo.home)


def the_shipped_prior_answers_at_once(demo: ShortDemo, sources: list[dict[str, Any]]) -> None:
    """The first decisions are made on the prior, and no fit begins before them."""
    by_rung = {one["rung"]: one for one in sources}
    assert by_rung["prior"]["version"] == f"prior-{shipped_prior().version}"
    assert sum(one["n"] for one in sources) == 3 * N_ORIGINS
    engine = sqlalchemy.create_engine(sqlalchemy_url(demo.database_url))
    first = "(SELECT min(origin_at) FROM decisions)"
    with engine.connect() as connection:
        rungs = connection.execute(
            sqlalchemy.text(f"SELECT DISTINCT rung FROM forecasts WHERE origin_at = {first}")
        ).scalars()
        assert list(rungs) == ["prior"]
        n_early = connection.execute(
            sqlalchemy.text(f"SELECT count(*) FROM models WHERE created_at <= {first}")
        ).scalar()
        n_taught = connection.execute(
            sqlalchemy.text(
                "SELECT count(*) FROM calibration_states WHERE model_version = :version"
            ),
            {"version": by_rung["prior"]["version"]},
        ).scalar()
    engine.dispose()
    assert (n_early, n_taught) == (0, 3)
    assert "has seen none of these services" in demo.report.read_text()


def replicas_are_counted_as_they_were(demo: ShortDemo, gpu_hours: float) -> None:
    """Outcomes have the simulator's GPU-hours, to the second, and are out of SLA by their counts.

    What is believed goes by the learned capacity and is not the simulator's figure, which goes by
    the stated one; with that as the truth the two are compared below. Pools are counted by
    snapshots, of which the demo takes one a step: they are left out. So are steps of the history,
    which a slow machine may have time to decide before the replay begins.
    """
    engine = sqlalchemy.create_engine(sqlalchemy_url(demo.database_url))
    query = """
        SELECT gpu_hours, needed_replicas, ready_mean, violation_ratio FROM outcomes
        WHERE ready_by_pool IS NULL
          AND step_at > (SELECT max(step_at) FROM outcomes) - make_interval(hours => :replayed)
    """
    with engine.connect() as connection:
        rows = connection.execute(sqlalchemy.text(query), {"replayed": N_HOURS}).all()
    engine.dispose()
    assert sum(row.gpu_hours for row in rows) == pytest.approx(gpu_hours, abs=0.01)
    steady = [row for row in rows if row.ready_mean % 1 == 0 and row.needed_replicas is not None]
    assert len(steady) >= len(rows) / 3
    for row in steady:
        assert row.violation_ratio == float(row.needed_replicas > row.ready_mean)


def pools_are_scaled_together(demo: ShortDemo, pools: dict[str, Any]) -> None:
    """One service has two pools: each decision says both counts, each outcome what each had."""
    (service,) = pools
    assert list(pools[service]) == ["decode", "prefill"]
    for pool in pools[service].values():
        assert set(pool["gpu_hours"]) == POLICIES
        assert min(pool["gpu_hours"].values()) > 0
    engine = sqlalchemy.create_engine(sqlalchemy_url(demo.database_url))
    query = """
        SELECT d.variants, a.result, o.ready_by_pool FROM decisions d
        JOIN workloads w ON w.id = d.workload_id AND w.namespace || '/' || w.name = :service
        JOIN actions a ON a.decision_id = d.id AND a.origin_at = d.origin_at
        JOIN outcomes o ON o.workload_id = d.workload_id AND o.step_at = d.origin_at
        ORDER BY d.origin_at
    """
    with engine.connect() as connection:
        rows = connection.execute(sqlalchemy.text(query), {"service": service}).all()
    engine.dispose()
    assert rows
    for row in rows:
        assert [one["name"] for one in row.variants] == ["decode", "prefill"]
        assert all(one["desired"] >= 1 for one in row.variants)
    assert any(row.result == "applied" for row in rows)
    last = [row.ready_by_pool for row in rows if row.ready_by_pool][-1]
    assert min(last["decode"], last["prefill"]) > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_requests_feel_is_measured_as_it_is(lived_in: Path, tmp_path: Path) -> None:
    figures, report = tmp_path / "figures.json", tmp_path / "report.html"
    arguments = ["--generated", "--quick", "--no-serve", "--hours", "6", "--workloads", "4"]
    files = ["--port", "0", "--json", str(figures), "--report", str(report)]
    ran = harmony(lived_in, "demo", *arguments, *files)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert "no orphan, no duplicate" in ran.stdout
    assert re.search(r"measured by Harmony \d+\.\d\d%, true \d+\.\d\d%", ran.stdout)
    found = json.loads(figures.read_text())
    assert found["felt"]["workloads_measured"] >= 3
    own = found["policies"]["harmony"]
    measured = found["felt"]["violation_rate_measured_by_platform"]
    assert measured == pytest.approx(own["violation_rate"], abs=0.01)
    assert found["felt"]["decisions_for_queues"] >= 0
    for policy in found["policies"].values():
        assert {"believed_violation_rate", "n_over_promise", "n_queued"} <= set(policy)
    assert "Services over" in report.read_text()
    assert not leftovers(lived_in)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_with_the_stated_capacity_as_the_truth_nothing_is_felt(
    lived_in: Path, tmp_path: Path
) -> None:
    figures, report = tmp_path / "figures.json", tmp_path / "report.html"
    arguments = [
        "--generated",
        "--quick",
        "--truth",
        "stated",
        "--no-serve",
        "--hours",
        "2",
        "--workloads",
        "3",
    ]
    files = ["--port", "0", "--json", str(figures), "--report", str(report)]
    ran = harmony(lived_in, "demo", *arguments, *files)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert "no orphan, no duplicate" in ran.stdout
    assert not leftovers(lived_in)
    found = json.loads(figures.read_text())
    own = found["policies"]["harmony"]
    assert "felt" not in found
    assert "believed_violation_rate" not in own
    believed = found["violation_rate_believed_by_platform"]
    assert believed == pytest.approx(own["violation_rate"], abs=0.02)
    assert "As believed" not in report.read_text()


@pytest.mark.slow
def test_ctrl_c_ends_everything_and_the_database_starts_again(home: Path) -> None:
    command = [
        *HARMONY,
        "demo",
        "--generated",
        "--quick",
        "--hours",
        "24",
        "--workloads",
        "2",
        "--port",
        "0",
    ]
    demo = subprocess.Popen(
        command, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    deadline = time.monotonic() + 90
    logs = home / "demo" / "logs" / "operator.log"
    while not logs.exists():
        assert demo.poll() is None, demo.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    started = time.monotonic()
    demo.send_signal(signal.SIGINT)
    try:
        output, _ = demo.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        demo.kill()  # its children end with it
        demo.communicate()
        pytest.fail("Ctrl-C did not end the demo within 60 s")
    assert time.monotonic() - started < 3 * 10  # three times what is promised of a machine at rest
    assert demo.returncode == 130, output
    assert b"Traceback" not in output
    assert not leftovers(home)
    arguments = [
        "--generated",
        "--quick",
        "--no-serve",
        "--hours",
        "1",
        "--workloads",
        "1",
        "--port",
        "0",
    ]
    report = ["--report", str(home / "report.html")]
    again = harmony(home, "demo", *arguments, *report)
    assert again.returncode == 0, again.stderr + again.stdout


def leftovers(home: Path) -> list[str]:
    """Command lines of processes that still use the data folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ", "pid"]):
        line = " ".join(process.info["cmdline"] or [])
        variables = process.info["environ"] or {}
        is_ours = variables.get("HARMONY_HOME") == str(home) or str(home) in line
        if is_ours and process.info["pid"] != os.getpid():
            found.append(line)
    return found


def refused(result: subprocess.CompletedProcess[str], words: str) -> None:
    """One clear line, exit status 2, no stack trace."""
    assert result.returncode == 2, result.stderr + result.stdout
    assert words in result.stderr, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert "Traceback" not in result.stderr + result.stdout


@pytest.fixture
def here(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs `harmony` in this process: a dozen commands load what they need once."""

    def run(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patched:
            for name in [name for name in os.environ if name.startswith("HARMONY_")]:
                patched.delenv(name)
            for name, value in {"HARMONY_HOME": str(home), **extra}.items():
                patched.setenv(name, value)
            patched.setattr(sys, "argv", ["harmony", *arguments])
            get_settings.cache_clear()
            with pytest.raises(SystemExit) as ended:
                main()
        said, status = capsys.readouterr(), ended.value.code
        assert isinstance(status, int)
        return subprocess.CompletedProcess(arguments, status, said.out, said.err)

    yield run
    get_settings.cache_clear()


@pytest.mark.slow
def test_wrong_input_is_one_line_and_nothing_is_started(
    home: Path, tmp_path: Path, here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"not a parquet")
    good = tmp_path / "good.parquet"
    times = pa.array([0, 60], pa.timestamp("s", tz="UTC"))
    pq.write_table(pa.table({"timestamp": times, "workload": ["a", "a"], "load": [1.0, 2.0]}), good)
    missing = tmp_path / "missing.parquet"
    refused(harmony(home, "demo", "--data", str(missing)), "missing.parquet")
    refused(here("demo", "--data", str(broken)), "parquet")
    refused(here("demo", "--data", str(good), "--demand", "lood"), "lood")
    refused(here("demo", "--data", str(good), "--truth", "served"), "--truth=served")
    refused(
        here("demo", "--risk", "2"),
        "--risk=2.0: must be between 0 and 1 (0.000000001 to 0.999999999)",
    )
    refused(here("status", HARMONY_STEP_S="soon"), "HARMONY_STEP_S='soon'")
    unreachable = "postgresql://nobody@127.0.0.1:1/none"
    refused(here("demo", HARMONY_DATABASE_URL=unreachable), "cannot be reached")
    refused(harmony(home, "status", HARMONY_DATABASE_URL=unreachable), "cannot be reached")
    refused(here("status"), "HARMONY_DATABASE_URL is not set")
    refused(here("backtest", str(good), "--risk", "soon"), "")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(here("demo", "--port", str(port)), f"--port={port}")
    assert not (home / "demo" / "postgres").exists()
    assert not leftovers(home)
