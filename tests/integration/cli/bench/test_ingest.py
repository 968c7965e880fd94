"""`harmony bench ingest` sends over HTTP and finds in SQL what it has sent."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from services.cli.application import app
from services.kernel.settings import get_settings

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.parametrize("protocol", ["push", "remote-write"])
def test_what_is_sent_is_stored(protocol: str, tmp_path: Path) -> None:
    get_settings.cache_clear()
    document = tmp_path / "ingest.json"
    options = ["--series-per-request", "40", "--samples-per-series", "3", "--requests", "4"]
    options += ["--workloads", "10", "--protocol", protocol, "--json", str(document)]
    result = CliRunner().invoke(app, ["bench", "ingest", *options])
    assert result.exit_code == 0, result.output
    found = orjson.loads(document.read_bytes())
    assert found["sent"] == found["accepted"] == found["stored"] == 6 * 40 * 3
    assert (found["duplicates"], found["rejected"]) == (0, {})
    assert found["is_stored_as_sent"]
    assert all(found["cpu_s_per_million"][where] >= 0 for where in ("python", "postgres"))
    assert found["per_s_and_core"] > 0


def test_another_protocol_is_named() -> None:
    result = CliRunner().invoke(app, ["bench", "ingest", "--protocol", "graphite"])
    assert result.exit_code != 0
    assert "must be one of push, remote-write" in str(result.exception)
