"""Which workers are replayed: names that the engine knows, roles of both modes."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from services.lab.arena import replay_launch as launch


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with one model and one GPU type."""
    (tmp_path / "model_configs").mkdir()
    (tmp_path / "model_configs" / "Qwen--Qwen3-8B_config.json").touch()
    (tmp_path / "systems" / "data" / "a_gpu").mkdir(parents=True)
    found = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda _: found)


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize(
    ("model", "gpu", "said"),
    [
        ("Qwen/Qwen3-9B", "a_gpu", "--model=Qwen/Qwen3-9B: .* it has Qwen/Qwen3-8B"),
        ("other/Thing", "a_gpu", "--model=other/Thing: the engine knows no such model$"),
        ("Qwen/Qwen3-8B", "b_gpu", "--gpu=b_gpu: must be one of a_gpu"),
    ],
)
def test_unknown_names_are_refused_before_anything_is_fetched(
    model: str, gpu: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        launch.check_known(model, gpu)


@pytest.mark.usefixtures("profiles")
def test_known_names_pass() -> None:
    launch.check_known("Qwen/Qwen3-8B", "a_gpu")


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's compiler: worker arguments are what was asked."""

    def spec(whole: dict[str, Any]) -> Any:
        asked = whole["engine"]
        found = SimpleNamespace(backend=asked["backend"], backend_version="1", parallel_config={})
        for role, worker in asked["workers"].items():
            name = "agg" if role == "aggregated" else role
            setattr(found, f"{name}_engine_args", {"role": role, **worker["parallelism"]})
        return SimpleNamespace(backend_deployment=found)

    modules: dict[str, dict[str, Any]] = {
        "aisimulate": {},
        "aisimulate.compiler": {"prediction_to_replay_spec": spec},
        "aisimulate.config": {},
        "aisimulate.config.cli": {
            "CorePredictionConfig": SimpleNamespace(model_validate=lambda document: document)
        },
        "aisimulate.runner": {
            "materialize_engine_launch_config": lambda *given: {**given[3], "as": given[4]}
        },
    }
    for name, found in modules.items():
        module = ModuleType(name)
        module.__dict__.update(found)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("profiles", "compiler")
@pytest.mark.parametrize(
    ("mode", "roles"),
    [
        ("aggregated", {"serve": "aggregated"}),
        ("disaggregated", {"prefill": "prefill", "decode": "decode"}),
    ],
)
def test_each_pool_has_workers_of_its_role(mode: str, roles: dict[str, str]) -> None:
    asked = {
        "model": "Qwen/Qwen3-8B",
        "gpu": "a_gpu",
        "engine": "vllm",
        "tensor_parallel": 2,
        "mode": mode,
    }
    assert launch.launch_of(asked) == {
        pool: {"role": role, "tensor": 2, "as": role} for pool, role in roles.items()
    }
