"""Options of the commands that ask the arena's engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.engine_options import chosen_mix, read_ms
from services.kernel.errors import InvalidInput


def test_durations_are_read_in_milliseconds() -> None:
    assert read_ms("--ttft", "2s") == 2000
    assert read_ms("--tpot", "100ms") == pytest.approx(100)


def test_a_duration_without_a_unit_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"--ttft: '2' must be a duration"):
        read_ms("--ttft", "2")


def test_lengths_are_of_a_file_or_made_up(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("input_length,output_length\n10,1\n30,3\n")
    assert chosen_mix(path).source == "trace.csv"
    assert chosen_mix(None).source.startswith("log-normal")
