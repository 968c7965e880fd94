"""The engine behind its pipe: found, asked, split, ended; a script stands in for the real one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from services.kernel.errors import InvalidInput, Unavailable
from services.lab.arena import engine as module
from services.lab.arena.engine import EngineChoice, ReplayEngine, arena_python
from services.lab.arena.requests import RequestList

CHOICE = EngineChoice("a/model", "a_gpu")
SCRIPT = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "engine" in asked:
        if asked["engine"]["gpu"] == "none":
            answer = {"error": "--gpu=none: must be one of a_gpu"}
        else:
            answer = {"kv_tokens": 64}
    else:
        asked = asked["replay"]
        if 666 in asked["input_tokens"]:
            sys.exit("out of memory")
        late = [1e9 if n == 777 else 5.0 for n in asked["input_tokens"]]
        answer = {"ttft_ms": asked["input_tokens"], "tpot_ms": [None for _ in late],
                  "e2e_ms": late}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture(autouse=True)
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script that stands in."""
    path = tmp_path / "stand_in.py"
    path.write_text(SCRIPT)
    monkeypatch.setattr(module, "SCRIPT", path)


def listed(*inputs: int) -> RequestList:
    return RequestList(np.arange(len(inputs)) * 10.0, np.array(inputs), np.ones(len(inputs), int))


def started() -> ReplayEngine:
    return ReplayEngine(CHOICE, Path(sys.executable))


def test_answers_are_those_of_each_request() -> None:
    with started() as engine:
        assert engine.about == {"kv_tokens": 64}
        served = engine.replay(listed(3, 4))
    assert served.ttft_ms.tolist() == [3, 4]
    assert np.isnan(served.tpot_ms).all()


def test_several_lists_come_back_as_several() -> None:
    with started() as engine:
        one, other = engine.replay_each([listed(3, 4), listed(5)])
    assert one.ttft_ms.tolist() == [3, 4]
    assert other.ttft_ms.tolist() == [5]


def test_a_queue_that_reaches_into_the_next_list_is_refused() -> None:
    with started() as engine, pytest.raises(InvalidInput, match="lower the rate"):
        engine.replay_each([listed(3, 777), listed(5)])


def test_what_the_engine_refuses_is_told() -> None:
    with pytest.raises(InvalidInput, match="--gpu=none: must be one of a_gpu"):
        ReplayEngine(EngineChoice("a/model", "none"), Path(sys.executable))


def test_an_engine_that_dies_leaves_its_last_words() -> None:
    with started() as engine, pytest.raises(Unavailable, match="has ended: out of memory"):
        engine.replay(listed(666))


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(InvalidInput, match="--engine=tgi: must be one of vllm, sglang, trtllm"):
        EngineChoice("a/model", "a_gpu", "tgi")


def test_without_the_environment_the_remedy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(module.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(Unavailable, match="run `make arena`"):
        arena_python()


def test_half_an_installation_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.touch()
    monkeypatch.setenv(module.VARIABLE, str(tmp_path))
    with pytest.raises(Unavailable):
        arena_python()
    (tmp_path / ".installed").touch()
    assert arena_python() == python
