"""`harmony bench loads`: options become a benchmark, a document becomes tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.application import app
from services.lab.bench.forecast import task as tasks
from services.lab.bench.loads import run
from services.lab.bench.loads.run import LoadBench
from tests.unit.lab.bench.loads.documents import arm, document
from tests.unit.lab.bench.loads.small import NAMES, bench_task

Ran = list[tuple[LoadBench, list[str]]]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Benchmarks and arms, in place of runs."""
    found: Ran = []

    def bench_loads(bench: LoadBench, names: Sequence[str], *_rest: Any) -> dict[str, Any]:
        found.append((bench, list(names)))
        keep = _rest[-1]
        whole = document(only_requests=arm(1.04), told=arm(0.99))
        keep(whole)
        return whole

    monkeypatch.setattr(run, "bench_loads", bench_loads)
    return found


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small set, whatever file is named."""

    def load(_path: Path, _protocol: Any, *, demand: str, max_origins: int) -> Any:
        assert demand == NAMES[0]
        assert max_origins == 10**9
        return bench_task()

    monkeypatch.setattr(tasks, "load_task", load)


def invoke(*options: str) -> Any:
    whole = ["bench", "loads", "--data", "small.parquet", "--loads", ",".join(NAMES), *options]
    return CliRunner().invoke(app, whole)


def test_options_become_a_benchmark(tmp_path: Path, ran: Ran) -> None:
    out = tmp_path / "found.json"
    options = ("--risk", "0.01,0.1", "--arms", "told, no_levels", "--max-test-steps", "40")
    options += ("--max-workloads", "1", "--response-seeds", "2")
    result = invoke(*options, "--json", str(out))
    assert result.exit_code == 0, result.output
    bench, names = ran[0]
    assert names == ["told", "no_levels"]
    assert (bench.epsilons, bench.truth, bench.seed) == ((0.01, 0.1), "drawn", 7)
    assert bench.task.names == NAMES
    assert bench.task.decide.names == ("w0",)
    assert bench.task.decide.course.n_steps - bench.task.decide.n_prelude == 40
    assert [one.decide.options.seed for one in bench.tasks] == [7, 8]
    assert json.loads(out.read_text())["data"] == "hand"


def test_the_tables_end_with_what_each_part_is_worth(ran: Ran) -> None:
    result = invoke("--markdown")
    assert "cost at 1.00% true" in result.output
    assert "worth 2 % or more: only_requests +4.0 %" in result.output
    assert "not knowing the response costs +1.01 %" in result.output
    assert len(ran) == 1


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = invoke("--table", str(tmp_path / "none.npz"))
    assert result.exit_code != 0
    assert "--table=" in str(result.exception)


def test_ages_are_those_of_an_open_loop(ran: Ran) -> None:
    assert invoke("--open-loop", "--ages", "0,6").exit_code == 0
    assert (ran[0][0].is_open_loop, ran[0][0].ages) == (True, (0, 6))
    result = invoke("--ages", "6")
    assert "--ages=6: only with --open-loop" in str(result.exception)
    result = invoke("--open-loop", "--ages", "0,x")
    assert "--ages=0,x: numbers of steps are right" in str(result.exception)
