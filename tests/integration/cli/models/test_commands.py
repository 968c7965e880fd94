"""`harmony models …` on a real registry, and training on a file that is interrupted and resumed."""

from __future__ import annotations

import getpass
import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from forecaster.config import ForecasterConfig, ModelConfig, TrainConfig
from forecaster.training.checkpoint import model_from_bytes
from services.cli import application
from services.cli.models import commands, training
from services.forecasting.registry import repository as registry
from services.forecasting.registry.repository import NewModel
from services.forecasting.rows.translate import forecaster_config
from services.forecasting.training.fit import BUSY, FitOutcome
from services.kernel.errors import Conflict
from services.kernel.security.audit import verify_audit
from services.kernel.settings import Settings
from tests.few_trees import FEW_TREES

REPO = Path(__file__).parents[3]
METRICS = {
    "backtest_skill": 0.125,
    "backtest_crps": 0.3,
    "backtest_coverage": {"0.95": 0.961, "0.99": 0.992},
    "n_parameters": 155_000,
    "n_workloads": 2,
    "picks": {"demo/a": "blend", "demo/b": "last_value"},
    "ratios": {"demo/a": 0.9, "demo/b": 1.1004},
    "skipped": {"demo/c": "history too short or unobserved"},
}


@pytest.fixture
def connected(settings: Settings, database: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The commands talk to the test database."""
    monkeypatch.setattr(commands, "connected_settings", lambda: settings)
    monkeypatch.setattr(commands, "database_engine", lambda: database)
    return database


def add(engine: Engine, version: str, status: str, age: timedelta = timedelta(hours=3)) -> None:
    metrics = {} if status == "failed" else METRICS
    model = NewModel(version, status, f"why {version}", {}, metrics, b"12345")
    with engine.begin() as connection:
        registry.insert_model(connection, model, datetime.now(UTC) - age)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(application.app, ["models", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> str:
    """The one line on stderr of a command that ends with status 2."""
    monkeypatch.setattr(application, "configure_logging", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["harmony", "models", *arguments])
    with pytest.raises(SystemExit) as ended:
        application.main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_list_and_show(connected: Engine) -> None:
    add(connected, "old", "retired", timedelta(days=2))
    add(connected, "failed-1", "failed")
    add(connected, "new", "promoted")
    rows = json.loads(run("list", "--json"))
    assert [row["version"] for row in rows] == ["new", "failed-1", "old"]
    assert rows[0]["backtest_coverage"] == {"0.95": 0.961, "0.99": 0.992}
    assert rows[0]["age_s"] == pytest.approx(3 * 3600, abs=120)
    assert (rows[0]["n_bytes"], rows[0]["reason"]) == (5, "why new")
    assert rows[1]["backtest_skill"] is None
    assert len(json.loads(run("list", "--limit", "1", "--json"))) == 1
    table = run("list")
    for shown in ("new", "promoted", "3 h", "2 d", "+0.125", "99.2%", "155,000"):
        assert shown in table

    found = json.loads(run("show", "new", "--json"))
    assert found["workloads"] == [
        {"workload": "demo/a", "ratio": 0.9, "best simple": "blend", "reason": ""},
        {"workload": "demo/b", "ratio": 1.1004, "best simple": "last_value", "reason": ""},
        {"workload": "demo/c", "ratio": None, "best simple": None,
         "reason": "history too short or unobserved"},
    ]  # fmt: skip
    shown = run("show", "new")
    assert "demo/c" in shown
    assert "1.100" in shown


def test_a_model_of_before_record_0027_is_still_shown(connected: Engine) -> None:
    """Then the metrics named a rung per workload, with a reason."""
    metrics = {"picks": {"demo/a": "blend"}, "rungs": {"demo/a": "model"}, "reasons": {}}
    with connected.begin() as connection:
        model = NewModel("older", "retired", "why", {}, metrics, b"12345")
        registry.insert_model(connection, model, datetime.now(UTC))
    found = json.loads(run("show", "older", "--json"))
    assert found["workloads"] == [
        {"workload": "demo/a", "ratio": None, "best simple": "blend", "reason": ""}
    ]


def test_an_empty_registry_says_so(connected: Engine) -> None:
    assert json.loads(run("list", "--json")) == []
    assert "nothing yet" in run("list")


def test_promote_and_roll_back(connected: Engine) -> None:
    add(connected, "old", "promoted")
    add(connected, "new", "shadow")
    run("promote", "new", "--reason", "looks good")
    assert json.loads(run("roll-back", "--reason", "was not", "--json"))["version"] == "old"
    with connected.connect() as connection:
        found = connection.execute(text("SELECT version, status, reason FROM models ORDER BY id"))
        assert [tuple(row) for row in found] == [
            ("old", "promoted", "rolled back: was not"),
            ("new", "retired", "looks good"),
        ]


def test_who_trains_a_model_is_in_the_audit_log(
    connected: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = [FitOutcome("m1", "shadow", "not better", {}), FitOutcome("", BUSY, "another", {})]
    monkeypatch.setattr(training, "fit_models", lambda *_, **__: outcomes.pop(0))
    assert json.loads(run("train", "--seed", "5", "--json"))["version"] == "m1"
    with pytest.raises(Conflict):
        run("train")
    with connected.connect() as connection:
        found = connection.execute(text("SELECT actor, action, object, after FROM audit")).all()
    after = {"status": "shadow", "reason": "not better", "seed": 5}
    who = f"{getpass.getuser()} (command line)"
    assert [tuple(row) for row in found] == [(who, "model.train", "model/m1", after)]


def test_who_lets_a_model_serve_is_in_the_audit_log(connected: Engine) -> None:
    add(connected, "old", "promoted")
    add(connected, "new", "shadow")
    run("promote", "new", "--reason", "looks good")
    run("roll-back")
    with connected.connect() as connection:
        query = text("SELECT actor, action, object, before, after FROM audit ORDER BY id")
        found = [tuple(row) for row in connection.execute(query)]
        assert verify_audit(connection).is_intact
    by = f"{getpass.getuser()} (command line)"
    rolled_back = "rolled back: rolled back by hand"
    assert found == [
        (by, "model.promote", "model/new", {"status": "shadow", "serving": "old"},
         {"status": "promoted", "serving": "new", "reason": "looks good"}),
        (by, "model.roll_back", "model/old", {"status": "retired", "serving": "new"},
         {"status": "promoted", "serving": "old", "reason": rolled_back}),
    ]  # fmt: skip


def test_a_file_is_only_for_a_file_s_options(
    connected: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "only with --data" in refused(monkeypatch, capsys, "train", "--out", "x")
    assert "no fit was interrupted" in refused(monkeypatch, capsys, "train", "--resume")
    assert "device='tpu' must be" in refused(monkeypatch, capsys, "train", "--device", "tpu")
    add(connected, "training-1", "training")
    for arguments in (("show", "none"), ("promote", "none")):
        assert "version='none' does not exist" in refused(monkeypatch, capsys, *arguments)
    assert "is training" in refused(monkeypatch, capsys, "promote", "training-1")
    assert "nothing to roll back to" in refused(monkeypatch, capsys, "roll-back")
    with registry.fit_lock(connected):
        assert "another fit is running" in refused(monkeypatch, capsys, "train")


def test_a_fit_that_fails_ends_with_status_1(connected: Engine) -> None:
    result = CliRunner().invoke(application.app, ["models", "train", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["reason"].startswith("HistoryTooShort")


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A file of the shared format: three workloads, 700 ten-minute steps, a gap."""
    steps = np.arange(700)
    columns: dict[str, list] = {"timestamp": [], "workload": [], "load": [], "duty": []}
    for i in range(3):
        rng = np.random.default_rng(i)
        load = 100 + 60 * np.sin(2 * np.pi * steps / 144 + i) + rng.normal(0, 5, steps.size)
        columns["timestamp"] += (1_767_225_600 + 600 * steps).tolist()
        columns["workload"] += [f"w{i}"] * steps.size
        columns["load"] += load.tolist()
        columns["duty"] += (load / 200).tolist()
    columns["load"][50] = float("nan")
    path = tmp_path / "trace.parquet"
    table = pa.table(columns)
    times = table["timestamp"].cast(pa.timestamp("s", tz="UTC"))
    pq.write_table(table.set_column(0, "timestamp", times), path)
    return path


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    def config(settings: Settings) -> ForecasterConfig:
        train = TrainConfig(epochs=2, flow_epochs=1, max_windows=300, max_validation_windows=100)
        model = ModelConfig(width=16, hidden=24, heads=2, flow_hidden=8)
        return ForecasterConfig(forecaster_config(settings).window, model, train, FEW_TREES)

    monkeypatch.setattr(training, "forecaster_config", config)


@pytest.mark.usefixtures("_short")
def test_training_on_a_file_writes_a_model_that_loads(trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    arguments = ["--data", str(trace), "--demand", "load", "--out", str(out), "--seed", "5"]
    found = json.loads(run("train", *arguments, "--json"))
    assert model_from_bytes(out.read_bytes()).version == found["version"]
    assert (found["n_workloads"], found["seed"], found["data"]) == (3, 5, "trace")
    assert set(found["ratios"]) == {"w0", "w1", "w2"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.safetensors", "trace.parquet"]


@pytest.mark.usefixtures("_short")
def test_what_a_file_training_cannot_use_is_named(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("train", "--data", str(trace), "--demand", "load")
    out = tmp_path / "m"
    wrong = refused(monkeypatch, capsys, *data, "--out", str(tmp_path / "no" / "m"))
    assert "its folder does not exist" in wrong
    wrong = refused(monkeypatch, capsys, *data, "--out", str(out), "--resume")
    assert "m.state cannot be read" in wrong
    (tmp_path / "m.state").write_bytes(b"something else")
    wrong = refused(monkeypatch, capsys, *data, "--out", str(out), "--resume")
    assert "header unreadable" in wrong
    wrong = refused(monkeypatch, capsys, "train", "--data", str(tmp_path / "none.parquet"))
    assert "none.parquet" in wrong
    assert not out.exists()


@pytest.mark.slow
def test_ctrl_c_keeps_a_state_and_resume_ends_with_the_same_bytes(
    trace: Path, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    arguments = ["--data", str(trace), "--demand", "load", "--seed", "5"]
    command = [sys.executable, "-m", "services.cli", "models", "train", *arguments]
    process = subprocess.Popen(
        [*command, "--out", str(out)], cwd=REPO, stderr=subprocess.PIPE, text=True
    )
    state = tmp_path / "out.state"
    deadline = time.monotonic() + 180
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.01)  # another process's progress cannot be awaited otherwise
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert not out.exists()
    resume = f"harmony models train --data {trace} --out {out} --demand load --seed 5 --resume"
    assert f"harmony: stopped; {state} keeps the last whole epoch; go on with `{resume}`" in told

    run("train", *arguments, "--out", str(out), "--resume")
    run("train", *arguments, "--out", str(whole))
    assert out.read_bytes() == whole.read_bytes()
    assert not state.exists()
