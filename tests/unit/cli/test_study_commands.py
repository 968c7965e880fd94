"""`harmony backtest`: options reach the study, and its verdict is shown."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st
from typer.testing import CliRunner

from services.backtest import page, plot, study
from services.backtest.equal_violation import EqualViolation
from services.backtest.study import PromiseResult
from services.cli.application import app
from services.cli.study_commands import promises
from services.kernel.errors import InvalidInput
from services.simulator import fleet, measurements
from services.simulator.measurements import ColumnChoice, PrometheusRange
from tests.unit.lab.report.pages import score


@dataclass
class Asked:
    """What the study was asked for."""

    file: Path | None = None
    choice: Any = None
    wanted: Any = None
    hours: float = 1000.0
    options: Any = None
    promises: list[float] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    plotted: list[Path] = field(default_factory=list)
    pages: list[Any] = field(default_factory=list)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """A study made by hand stands in for one that trains and replays."""
    found = Asked()
    names = ("harmony", "hpa", "trailing_percentile", "static_peak")
    make: Any = score
    pairs = zip(names, (30, 40, 50, 60), strict=True)
    scores = tuple(make(name, gpus, 0.004) for name, gpus in pairs)

    trace = SimpleNamespace(hours=lambda: found.hours)

    def read(path: Path, choice: Any) -> Any:
        found.file, found.choice = path, choice
        return SimpleNamespace(trace=trace, name="shop", said=("read 9 rows",))

    def ask(wanted: Any, _now: datetime) -> Any:
        found.wanted = wanted
        return SimpleNamespace(trace=trace, name="prometheus", said=("read 9 rows",))

    def load(_trace: Any, _name: str, options: Any) -> Any:
        found.options = options
        dropped = [SimpleNamespace(workload="w9", reason="too short")]
        end = "the replay ends today; as the data do"
        return SimpleNamespace(fleet="the fleet", dropped=dropped, end_said=end)

    def run(of: str, epsilons: list[float], tell: Any, **settings: Any) -> Any:
        assert of == "the fleet"
        tell("training")
        found.promises, found.settings = epsilons, settings
        return SimpleNamespace(
            fleet=SimpleNamespace(label="shop", replay_hours=6.0),
            trained=SimpleNamespace(reason="the model"),
            results=[PromiseResult(epsilon, scores) for epsilon in epsilons],
            matched=[EqualViolation(one, "hpa", True, 0.9, 0.85, 0.95) for one in epsilons],
            advice=lambda: "Recommended promise: 2.00%",
            to_json=lambda: {"data": "shop"},
        )

    monkeypatch.setattr(measurements, "read_file", read)
    monkeypatch.setattr(measurements, "read_prometheus", ask)
    monkeypatch.setattr(fleet, "fleet_of", load)
    monkeypatch.setattr(
        page, "write_page", lambda _study, said, path: found.pages.append((said, path))
    )
    monkeypatch.setattr(study, "run_study", run)
    monkeypatch.setattr(plot, "plot_study", lambda _study, path: found.plotted.append(path))
    return found


def invoke(*arguments: str, file: str | None = "shop.parquet") -> str:
    command = ["backtest", *([file] if file else []), *arguments]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_study_is_shown_promise_by_promise(asked: Asked) -> None:
    shown = invoke()
    assert "left out: w9: too short" in shown
    assert "shop, 6 h; forecaster: the model" in shown
    for promise in ("1.00%", "5.00%"):
        assert f"promise: at most {promise} of time out of SLA" in shown
    assert shown.count("As deployed: Forecasting paid: 25.0% cheaper than hpa.") == 2
    assert shown.count("Harmony is cheaper: -10.0% against hpa") == 2
    assert "read 9 rows" in shown
    assert "240" in shown
    assert "0.40%" in shown
    assert "Recommended promise: 2.00%" in shown
    assert asked.promises == [0.01, 0.05]
    assert asked.plotted == []


def test_options_reach_the_study_in_one_thread(asked: Asked, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    out, picture, web = (tmp_path / f"out.{kind}" for kind in ("json", "png", "html"))
    try:
        invoke(
            *("--time", "ts", "--id", "who", "--report", str(web)),
            *("--demand", "load", "--step", "600", "--hours", "6", "--risk", "0.02"),
            *("--seed", "3", "--policies", " hpa,,static_peak ", "--shortage-usd", "8"),
            *("--json", str(out), "--plot", str(picture)),
        )
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    wanted = fleet.TraceOptions(step_s=600, replay_hours=6.0, seed=3)
    assert (asked.file, asked.options) == (Path("shop.parquet"), wanted)
    assert asked.choice == ColumnChoice("ts", "who", "load")
    ((said, path),) = asked.pages
    end = "the replay ends today; as the data do"
    assert (said, path) == (["read 9 rows", end, "left out: w9: too short"], web)
    assert asked.promises == [0.02]
    assert asked.settings == {"policies": ["hpa", "static_peak"], "shortage_usd": 8.0}
    assert json.loads(out.read_text()) == {"data": "shop"}
    assert asked.plotted == [picture]


def test_what_was_read_is_said_before_the_replay_is_tried(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise InvalidInput("too short")

    monkeypatch.setattr(fleet, "fleet_of", refuse)
    result = CliRunner().invoke(app, ["backtest", "shop.parquet"])
    assert str(result.exception) == "too short"
    assert "read 9 rows" in result.output
    assert asked.file == Path("shop.parquet")


def test_figures_on_stdout_are_alone_there(asked: Asked) -> None:
    result = CliRunner().invoke(app, ["backtest", "shop.parquet", "--json", "-"])
    assert json.loads(result.stdout) == {"data": "shop"}
    assert "As deployed: Forecasting paid" in result.stderr


def test_a_prometheus_is_asked_instead_of_a_file(asked: Asked) -> None:
    invoke("--prometheus", "http://p:9090", "--query", "sum(rps)", "--since", "3d", file=None)
    assert asked.wanted == PrometheusRange("http://p:9090", "sum(rps)", "3d", 60)
    assert asked.file is None
    invoke("--prometheus", "http://p:9090", "--query", "sum(rps)", file=None)
    assert asked.wanted.since == "14d"


@pytest.mark.parametrize(("hours", "replayed"), [(1000.0, 24.0), (40.0, 10.0)])
def test_a_day_is_replayed_or_a_quarter_of_what_is_there(
    asked: Asked, hours: float, replayed: float
) -> None:
    asked.hours = hours
    invoke()
    assert asked.options.replay_hours == replayed


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["mine.csv", "--prometheus", "http://p:9090", "--query", "up"],
        ["--prometheus", "http://p:9090"],
        ["--query", "up"],
    ],
)
def test_either_a_file_or_a_query_is_needed(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["backtest", *arguments])
    assert result.exit_code != 0
    assert "give a file" in str(result.exception)


def test_without_a_rival_there_is_nothing_to_say(asked: Asked) -> None:
    with pytest.raises(InvalidInput, match=r"^--policies= ,: name one rival"):
        invoke("--policies", " ,")
    with pytest.raises(InvalidInput, match=r"^--policies: 'HPA' is unknown; known: static_peak, "):
        invoke("--policies", "static_peak,HPA")
    with pytest.raises(InvalidInput, match=r"^--policies=hpa, hpa: each rival once"):
        invoke("--policies", "hpa, hpa")
    assert asked.file is None


PROMETHEUS = ("--prometheus", "http://p:9090", "--query", "up")


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ([*PROMETHEUS, "--time", "ts"], "--time=ts"),
        ([*PROMETHEUS, "--id", "who"], "--id=who"),
        ([*PROMETHEUS, "--demand", "rps"], "--demand=rps"),
        (["mine.csv", "--since", "3d"], "--since=3d"),
    ],
)
def test_an_option_that_is_not_read_is_refused(
    asked: Asked, arguments: list[str], option: str
) -> None:
    with pytest.raises(InvalidInput, match=f"^{option}: "):
        CliRunner().invoke(app, ["backtest", *arguments], catch_exceptions=False)
    assert (asked.file, asked.wanted) == (None, None)


def test_a_prometheus_is_named_by_its_url() -> None:
    arguments = ["backtest", "--prometheus", "localhost:9090", "--query", "up"]
    with pytest.raises(InvalidInput, match=r"^--prometheus=localhost:9090: must be a URL, e\.g\."):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    asked: Asked, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "out.json"):
        with pytest.raises(InvalidInput, match=str(path)):
            invoke("--json", str(path))
    assert asked.file is None


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=5, unique=True))
def test_promises_are_read_in_order(values: list[float]) -> None:
    assert promises(",".join(map(repr, values))) == values


@pytest.mark.parametrize(
    ("risk", "words"),
    [
        ("soon", "must be numbers"),
        ("", "must be numbers"),
        ("0", "between 0 and 1"),
        ("0.01,1", "between 0 and 1"),
        ("nan", "between 0 and 1"),
        ("0.01,0.010", "each promise once"),
    ],
)
def test_what_is_no_promise_is_refused(risk: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        promises(risk)


def test_a_prometheus_is_asked_without_a_user() -> None:
    arguments = ["backtest", "--prometheus", "http://u:secret@127.0.0.1:1", "--query", "up"]
    with pytest.raises(InvalidInput, match=r"^--prometheus=.* of a server without user") as caught:
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "secret" not in str(caught.value)
