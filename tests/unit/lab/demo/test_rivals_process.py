"""The process that judges rivals reads its day from a folder and leaves its answer there."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from services.lab.demo import rivals_process

_LOADED = "import sys, services.lab.demo.rivals_process; print(*sys.modules)"


def test_the_answer_to_what_is_asked_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rivals_process, "judge_rivals", lambda day: ("judged", day))
    (tmp_path / rivals_process.ASKED).write_bytes(pickle.dumps("a day"))
    rivals_process.judge_in(tmp_path)
    answer = (tmp_path / rivals_process.ANSWER).read_bytes()
    assert pickle.loads(answer) == ("judged", "a day")


def test_it_loads_neither_database_nor_broker_nor_servers() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", _LOADED], check=True, capture_output=True, text=True
    )
    loaded = set(shown.stdout.split())
    assert "services.simulator" in loaded
    assert not loaded & {"sqlalchemy", "psycopg", "redis", "fastapi", "alembic", "decider"}
