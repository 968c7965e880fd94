"""`harmony bench ingest` says what an observation costs, and that it is stored."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from services.cli.application import app
from services.kernel.settings import get_settings

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_a_small_load_is_measured(tmp_path: Path) -> None:
    get_settings.cache_clear()
    document = tmp_path / "ingest.json"
    options = ["--series-per-request", "8", "--requests", "2", "--workloads", "2"]
    result = CliRunner().invoke(app, ["bench", "ingest", *options, "--json", str(document)])
    assert result.exit_code == 0, result.output
    found = orjson.loads(document.read_bytes())
    assert (found["sent"], found["stored"], found["is_stored_as_sent"]) == (32, 32, True)
    assert set(found["cpu_s_per_million"]) == {"python", "postgres"}
    assert "bare COPY" in result.output


def test_another_protocol_is_named() -> None:
    result = CliRunner().invoke(app, ["bench", "ingest", "--protocol", "graphite"])
    assert result.exit_code != 0
    assert "must be one of push, remote-write" in str(result.exception)
