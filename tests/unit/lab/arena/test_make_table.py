"""A table made with an engine of a few lines: its points, counts and record."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from services.lab.arena import make_table
from services.lab.arena.engine import EngineChoice
from services.lab.arena.goals import RequestGoals
from services.lab.arena.make_table import TableGrid, TableMaker
from services.lab.arena.requests import lognormal_mix
from services.lab.arena.table import ResponseTable
from tests.unit.lab.arena.fake_engine import FakeEngine

GRID = TableGrid((100.0, 200.0), (20.0,), rate_ratios=(0.5, 2.0), minutes=4, n_pooled=1)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeEngine]]:
    """Engines that were started; each is closed at the end."""
    found: list[FakeEngine] = []

    def start(choice: EngineChoice) -> FakeEngine:
        found.append(FakeEngine(choice, 5000.0))
        return found[-1]

    monkeypatch.setattr(make_table, "ReplayEngine", start)
    yield found
    assert all(engine.is_closed for engine in found)


def made(n_processes: int) -> ResponseTable:
    goals = RequestGoals(9000, 100)
    maker = TableMaker(EngineChoice("m", "g"), goals, lognormal_mix(), lambda _: None)
    return maker.make(GRID, n_processes, "the command")


@pytest.mark.usefixtures("engines")
def test_every_pair_of_lengths_meets_every_rate() -> None:
    table = made(1)
    assert len(table) == 6
    assert table.replicas.tolist() == [1, 1, 1, 1, 4, 4]
    assert table.mean_input.tolist() == [100, 100, 200, 200, 100, 100]
    assert table.rate[1] == pytest.approx(4 * table.rate[0])
    assert table.requests.shape == (6, 4)
    loads = table.loads()
    assert loads[:, 0] == pytest.approx(table.rate, rel=0.15)
    assert loads[:, 1] == pytest.approx(table.rate * table.mean_input, rel=0.15)
    assert table.miss[[0, 2, 4]] == pytest.approx(0.0, abs=0.01)
    assert table.miss[[1, 3, 5]] == pytest.approx(1.0)
    assert np.array_equal(table.missed, table.missed_ttft)
    assert not table.missed_tpot.any()


@pytest.mark.usefixtures("engines")
def test_the_record_says_where_it_is_from() -> None:
    about = made(1).about
    assert about["engine"]["packages"] == {"engine": "1"}
    assert about["command"] == "the command"
    assert about["goals"] == {"ttft_ms": 9000, "tpot_ms": 100}
    assert [limit["mean_input"] for limit in about["limits"]] == [100.0, 200.0]


def test_more_engines_at_work_make_the_same_table(engines: list[FakeEngine]) -> None:
    one, other = made(1), made(2)
    assert np.array_equal(one.missed, other.missed)
    assert np.array_equal(one.input_tokens, other.input_tokens)
    assert len(engines) in (2, 3)
