"""How CapacityBuffers are named, written and sized."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.operator.plan.buffers import (
    Advised,
    BufferSize,
    buffer_name,
    buffer_of,
    gpus_to_hold,
    noted,
    owner_of,
    template_of,
)
from tests.unit.operator.examples import NOW

PATIENCE_S = 300.0


OWNER: dict[str, Any] = {"kind": "GPUBudget", "name": "h100", "uid": "u"}
TEMPLATE = {"containers": [{"name": "c"}]}


@given(st.text(min_size=1, max_size=63), st.text(min_size=1, max_size=63))
def test_each_type_has_a_name_of_its_own_that_kubernetes_takes(one: str, other: str) -> None:
    name = buffer_name(one)
    assert len(name) <= 70
    assert name.replace("-", "").isalnum()
    assert name.isascii()
    assert name == name.lower()
    assert one == other or buffer_name(other) != name


def test_a_template_is_named_for_what_is_in_it() -> None:
    one, same = (template_of("b", TEMPLATE, OWNER) for _ in range(2))
    other = template_of("b", {**TEMPLATE, "tolerations": []}, OWNER)
    assert one == same
    assert one["metadata"]["name"] != other["metadata"]["name"]
    assert one["metadata"]["ownerReferences"] == [OWNER]


def test_the_budget_owns_what_is_kept_for_it() -> None:
    budget = {"metadata": {"name": "h100", "uid": "u"}}
    assert owner_of(budget, "g/v1") == {
        "apiVersion": "g/v1", "kind": "GPUBudget", "name": "h100", "uid": "u", "controller": True,
    }  # fmt: skip


ADVICE = st.lists(st.tuples(st.integers(1, 400), st.integers(0, 9)), min_size=1, max_size=20)


@given(ADVICE, st.integers(0, 9))
def test_it_rises_at_once_and_falls_to_no_less_than_was_advised(
    steps: list[tuple[int, int]], current: int
) -> None:
    now, advised, history = NOW, (), []
    for seconds, gpus in steps:
        now += timedelta(seconds=seconds)
        advised = noted(advised, gpus, now, PATIENCE_S)
        history.append((now, gpus))
        current = gpus_to_hold(current, advised, now, PATIENCE_S)
        since = now - timedelta(seconds=PATIENCE_S)
        assert current >= max(n for at, n in history if at > since)


def test_it_falls_once_less_was_advised_for_as_long_as_a_node_takes() -> None:
    advised: Advised = ()
    held = []
    for minute, gpus in enumerate([3, 1, 1, 1, 1, 1, 1, 1]):
        now = NOW + timedelta(minutes=minute)
        advised = noted(advised, gpus, now, PATIENCE_S)
        held.append(gpus_to_hold(held[-1] if held else 0, advised, now, PATIENCE_S))
    assert held == [3, 3, 3, 3, 3, 3, 1, 1]


def test_what_is_held_stays_until_enough_is_known() -> None:
    advised = noted((), 1, NOW, PATIENCE_S)
    assert gpus_to_hold(4, advised, NOW, PATIENCE_S) == 4


@pytest.mark.parametrize("gpu_type", ["H100", "A100 80GB", "ü"])
def test_the_type_is_kept_whole(gpu_type: str) -> None:
    made = buffer_of(gpu_type, BufferSize(2, 8, "t"), OWNER, NOW)
    assert made["metadata"]["annotations"]["scaling.harmony.dev/gpu-type"] == gpu_type


def test_a_change_says_the_size_of_its_pods_and_when_it_was_made() -> None:
    change = BufferSize(3, 8, "t").changed(NOW)
    assert change["spec"] == {"podTemplateRef": {"name": "t"}, "replicas": 3}
    assert change["metadata"]["annotations"] == {
        "scaling.harmony.dev/chunk-gpus": "8",
        "scaling.harmony.dev/changed-at": f"{NOW:%Y-%m-%dT%H:%M:%SZ}",
    }
    made = buffer_of("H100", BufferSize(3, 8, "t"), OWNER, NOW)
    assert made["metadata"]["annotations"].items() >= change["metadata"]["annotations"].items()
    assert made["spec"].items() >= change["spec"].items()
