"""Every arm on a small trace, from the command to its tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from services.cli.application import app
from services.kernel.errors import InvalidInput
from services.lab.bench.ablate.decider_arms import DECIDER_ARMS
from services.lab.bench.ablate.forecast_arms import FORECAST_ARMS
from services.lab.bench.forecast import own_arms
from services.lab.bench.forecast.own_arms import ModelArm
from tests.unit.lab.bench.forecast.trained import SMALL

pytestmark = pytest.mark.slow

FIGURES = ("out", "held", "known")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, write_trace: Callable[..., Path]) -> Path:
    """What the command wrote."""
    folder = tmp_path_factory.mktemp("ablate")
    path = folder / "ablation.json"
    arguments = ["--data", str(write_trace(folder)), "--json", str(path), "--max-test-steps", "80"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_arms, "ModelArm", partial(ModelArm, SMALL))
        result = CliRunner().invoke(
            app, ["bench", "ablate", *arguments, "--models", str(folder / "models")]
        )
    assert result.exit_code == 0, result.output
    assert (folder / "models" / "small-7.model").stat().st_size > 1000
    return path


def test_every_arm_is_kept_by_days_and_workloads(written: Path) -> None:
    document = json.loads(written.read_text())
    decided, forecast = document["decide"], document["forecast"]
    deciding = {name for name, arm in FORECAST_ARMS.items() if arm.decides}
    assert set(decided) == {
        *("harmony", "promise_x0.4", "promise_x2.5"),
        *DECIDER_ARMS,
        *deciding,
    }
    assert set(forecast) == {"harmony", *FORECAST_ARMS}
    shape = np.shape(document["yard"]["held"])
    assert shape == (2, 10)
    for arm in decided.values():
        assert len(arm) == 2
        assert all(np.shape(sums[name]) == shape for sums in arm for name in FIGURES)
    known = np.array(document["yard"]["known"])
    assert known.sum() == 2 * 80
    for sums in forecast.values():
        assert np.all(np.array(sums["inside_0.8"]) <= np.array(sums["inside_0.99"]))
        assert np.array(sums["n"]).sum() == 2 * 12 * 80


def test_a_stricter_promise_costs_more(written: Path) -> None:
    decided = json.loads(written.read_text())["decide"]
    strict, usual, loose = (
        [np.sum(sums["held"]) for sums in decided[name]]
        for name in ("promise_x0.4", "harmony", "promise_x2.5")
    )
    assert strict[0] >= usual[0] >= loose[0]
    assert strict[1] >= usual[1] >= loose[1]
    assert strict[0] > loose[1]


def test_the_summary_reads_it(written: Path) -> None:
    found = CliRunner().invoke(app, ["bench", "ablate-summary", str(written), "--markdown"])
    assert found.exit_code == 0, found.output
    for name in (*DECIDER_ARMS, *FORECAST_ARMS):
        assert f"| {name} |" in found.output
    one = ["bench", "ablate-summary", str(written), "--markdown", "--arm", "no_floor"]
    assert "| small |" in CliRunner().invoke(app, one).output


def test_a_file_that_is_no_document_is_refused(tmp_path: Path, written: Path) -> None:
    (tmp_path / "other.json").write_text('{"data": "x"}')
    found = CliRunner().invoke(app, ["bench", "ablate-summary", str(tmp_path / "other.json")])
    assert isinstance(found.exception, InvalidInput)
    twice = CliRunner().invoke(app, ["bench", "ablate-summary", str(written), str(written)])
    assert isinstance(twice.exception, InvalidInput)
