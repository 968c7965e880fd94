"""Many seeds in one command, which goes on where it was stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation import run
from tests.simulation.run import Log, code_digest, main, read_seeds


def test_seeds_are_a_range_or_a_number() -> None:
    assert read_seeds("300..302") == range(300, 303)
    assert read_seeds("7..7") == range(7, 8)
    assert read_seeds("3") == range(3)
    for wrong in ("9..3", "0", "a..b"):
        with pytest.raises(ValueError, match=r"seeds|invalid literal"):
            read_seeds(wrong)


@pytest.mark.slow
def test_what_was_run_with_the_same_code_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "build" / "log.jsonl"
    given = ["--workers", "1", "--log", str(path)]
    assert main(["--seeds", "0..0", *given]) == 0
    assert main(["--seeds", "0..1", *given]) == 0
    assert "1 seeds were run before" in capsys.readouterr().out
    found = Log(path, f"{code_digest()} small").load()
    assert list(found) == [0, 1]
    monkeypatch.setattr(run, "code_digest", lambda: "of other code")
    assert main(["--seeds", "0..0", *given]) == 0
    assert "were run before" not in capsys.readouterr().out
    assert len(path.read_text().splitlines()) == 3
