"""Networks of the peers: files and time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from services.lab.bench.forecast.peers.neuralforecast import NetSettings, NeuralForecastArm
from services.lab.bench.forecast.task import Protocol
from tests.unit.lab.bench.forecast.peers.tasks import NETS, make_task, silent


def test_a_network_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("neuralforecast", reason="needs the extra `bench`")
    monkeypatch.chdir(tmp_path)
    NETS["nhits"].fit(make_task(Protocol.FISHER_H1), 1, silent)
    assert list(tmp_path.iterdir()) == []


def test_a_network_out_of_time_says_so() -> None:
    pytest.importorskip("neuralforecast", reason="needs the extra `bench`")
    lines: list[str] = []
    grid = (NetSettings(1e-3, 100_000), NetSettings(1e-3, 2))
    kind = dataclasses.replace(NETS["nhits"].kind, grid=grid)
    NeuralForecastArm(kind, budget_s=0.4).fit(make_task(Protocol.FISHER_H1), 1, lines.append)
    assert "max_steps=100000): stopped after its 0.2 s" in lines[0]
    assert "validation" in lines[1]
