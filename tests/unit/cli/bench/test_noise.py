from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from services.cli.application import app


def test_noise_by_paths_and_by_quantiles_is_told_per_promise(tmp_path: Path) -> None:
    file = tmp_path / "noise.json"
    given = ["bench", "decide-noise", "--replicas", "30", "--paths", "40", "--samples", "4"]
    result = CliRunner().invoke(app, [*given, "--json", str(file)])
    assert result.exit_code == 0, result.output
    rows = json.loads(file.read_text())["rows"]
    assert [row["promise"] for row in rows] == [0.001, 0.01, 0.05]
    assert all(row["quantiles_sd_over_mean"] == 0.0 for row in rows)
