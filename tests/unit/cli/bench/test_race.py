"""`harmony bench race`: what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.application import app
from services.cli.bench.race import seconds
from services.kernel.errors import InvalidInput

RACE = ["bench", "race", "--max-test-steps", "40", "--risk", "0.05"]


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--lead", "soon", "--lead=soon"),
        ("--lead", "0s", "--lead=0s"),
        ("--bridges", "leap", "--bridges=leap"),
        ("--bridges", "walk,walk", "--bridges: walk is named twice"),
        ("--lead", "30s,0.5m", "--lead: 30s is named twice"),
        ("--policies", "hpa,luck", "--policies=luck"),
        ("--arms", "perfect,luck", "--arms=luck"),
    ],
)
def test_what_nobody_can_race_is_refused_before_the_work(
    option: str, value: str, reason: str, tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing.parquet")
    result = CliRunner().invoke(app, [*RACE, "--data", missing, option, value])
    assert result.exit_code != 0
    assert reason in str(result.exception or result.output)


def test_lengths_of_time() -> None:
    assert [seconds(text, "--lead") for text in ("30s", "2m", "1.5h")] == [30.0, 120.0, 5400.0]
    with pytest.raises(InvalidInput, match="--step=5"):
        seconds("5", "--step")
