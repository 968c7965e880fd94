"""`harmony bench llm` and `llm-trace`: tables, documents, what bad input gets."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.application import app, main
from services.kernel.errors import InvalidInput, Unavailable
from services.lab.arena import engine
from services.lab.bench.llm import bench, serve
from services.lab.bench.llm.rivals import capacity
from services.lab.bench.llm.traces.trace_file import read_requests, write_requests
from tests.unit.lab.bench.llm.queue_engine import QueueEngine, small_trace

RUNNER = CliRunner()


def run(*arguments: object) -> Any:
    return RUNNER.invoke(app, ["bench", *map(str, arguments)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A trace of twenty minutes."""
    path = tmp_path / "mine.jsonl"
    write_requests(path, small_trace(minutes=20).requests)
    return path


def test_policies_are_run_and_put_into_tables(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "ReplayEngine", QueueEngine)
    monkeypatch.setattr(capacity, "_MINUTES", 6.0)
    document, plot = tmp_path / "found.json", tmp_path / "plot.png"
    options = ("--ttft", "2s", "--tpot", "100ms", "--startup", "30s", "--policies", "trail,hpa")
    result = run("llm", "--trace", file, *options, "--json", document, "--plot", plot, "--detail")
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    assert "mine on h200_sxm, start-up 30 s, seeds 7" in words
    assert "over traces, each weighing once" in words
    assert len(json.loads(document.read_text())["runs"]) == 16
    assert plot.exists()


def test_a_trace_is_written_the_same_twice(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path in paths:
        result = run("llm-trace", "burst", path, "--seed", 3, "--rate", 0.1)
        assert result.exit_code == 0, result.output
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert f"{len(read_requests(paths[0]))} requests of 70 min" in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--trace", "nowhere"), "--trace=nowhere: must be a file or one of"),
        (("--trace", "burst", "--startup", "soon"), "--startup"),
        (("--trace", "burst", "--goodput", "much"), "--goodput=much"),
        (("--trace", "burst", "--promise", "most"), "--promise=most: must be shares"),
        (("--trace", "burst", "--promise", "99"), "--promise=99 must lie in (0, 1)"),
        (("--trace", "burst", "--promise", ","), "--promise must name at least one share"),
        (("--trace", "burst", "--ttft", "1s"), "--ttft and --tpot: give both or neither"),
        (("--trace", "burst", "--policies", "best"), "--policies=best"),
        (("--trace", "burst", "--mode", "both"), "--mode=both: must be one of aggregated, "),
        (("--trace", "burst", "--router", "best"), "--router=best: must be one of round_robin"),
        (("--trace", "burst", "--goodput", ","), "--goodput must name at least one share"),
        (("--trace", "burst", "--startup", "60s,1m"), "--startup: 60s is named twice"),
        (("--trace", "burst", "--policies", "harmony", "--serve"), "--serve: writes no --json"),
    ],
)
def test_bad_input_is_one_line(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    result = run("llm", *options, "--json", tmp_path / "found.json")
    assert isinstance(result.exception, InvalidInput)
    assert message in result.exception.message
    assert not list(tmp_path.iterdir())


def test_a_run_to_look_at_needs_harmony() -> None:
    result = run("llm", "--trace", "burst", "--policies", "hpa", "--serve")
    assert isinstance(result.exception, InvalidInput)
    assert "--serve: --policies must name" in result.exception.message


FINE = {"timestamp": 0, "input_length": 500, "output_length": 5}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"timestamp": 2_000_000}, "bad.jsonl:2: .* a hole of over 900 s"),
        ({"input_length": 0}, "bad.jsonl:2: input_length=0 must be a whole number >= 1"),
        ({"output_length": 0}, "bad.jsonl:2: output_length=0 must be a whole number >= 1"),
        ({"timestamp": -1}, "bad.jsonl:2: timestamp=-1 is before 0 of the line above"),
        ({"input_length": 60_000}, "bad: request 2 has 60000"),
    ],
)
@pytest.mark.parametrize("way", [("--json", "found.json"), ("--serve", "--port", "0")])
def test_a_bad_trace_is_one_line_and_exit_2(
    way: tuple[str, ...],
    second: dict[str, float],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for module in (bench, serve):
        monkeypatch.setattr(module, "ReplayEngine", QueueEngine)
    path = tmp_path / "bad.jsonl"
    monkeypatch.chdir(tmp_path)
    ends = [{**FINE, "timestamp": at} for at in (600_000.0, 1_200_000.0)]
    path.write_text("\n".join(json.dumps(row) for row in (FINE, FINE | second, *ends)))
    command = ("harmony", "bench", "llm", "--trace", str(path), *way)
    monkeypatch.setattr(sys, "argv", [*command, "--keep", str(tmp_path / "kept")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert re.search(message, said[0])
    assert [found.name for found in tmp_path.iterdir()] == ["bad.jsonl"]


@pytest.mark.slow
def test_without_the_engine_nothing_is_written(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(engine.VARIABLE, str(tmp_path / "none"))
    result = run("llm", "--trace", file, "--json", tmp_path / "found.json")
    assert isinstance(result.exception, Unavailable)
    assert "make arena" in result.exception.message
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jsonl"]
