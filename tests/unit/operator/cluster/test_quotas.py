"""The tightest quota counts; one that does not count pods by their GPUs alone does not."""

from __future__ import annotations

from typing import Any

import pytest

from services.operator.cluster.quotas import GpuQuota, tightest, to_quotas

GPU = "nvidia.com/gpu"
KEY = f"requests.{GPU}"


def quota(name: str, hard: str | None, used: str | None, **spec: Any) -> dict[str, Any]:
    status = {
        part: {KEY: amount}
        for part, amount in (("hard", hard), ("used", used))
        if amount is not None
    }
    return {"metadata": {"namespace": "serving", "name": name}, "spec": spec, "status": status}


def test_the_tightest_counts() -> None:
    found = to_quotas([quota("wide", "100", "10"), quota("tight", "12", "10")])
    assert found == {"serving": {GPU: GpuQuota("tight", 12, 10)}}
    assert found["serving"][GPU].free == 2


def test_more_used_than_allowed_leaves_none() -> None:
    assert to_quotas([quota("q", "4", "6")])["serving"][GPU].free == 0


def test_large_amounts_have_a_suffix() -> None:
    assert to_quotas([quota("q", "1k", "0")])["serving"][GPU].free == 1000


@pytest.mark.parametrize(
    "given",
    [
        quota("scoped", "1", "1", scopes=["BestEffort"]),
        quota("by-priority", "1", "1", scopeSelector={"matchExpressions": []}),
        quota("not-counted-yet", "1", None),
        quota("of-something-else", None, None),
    ],
)
def test_what_does_not_count(given: dict[str, Any]) -> None:
    assert to_quotas([given]) == {}


def test_each_resource_has_a_quota_of_its_own() -> None:
    several = quota("both", "8", "2")
    for part, amount in (("hard", "4"), ("used", "4")):
        several["status"][part] |= {"requests.amd.com/gpu": amount, "requests.cpu": "9"}
    found = to_quotas([several])["serving"]
    amd = GpuQuota("both", 4, 4, "amd.com/gpu")
    assert found == {GPU: GpuQuota("both", 8, 2), "amd.com/gpu": amd}
    assert tightest(found, ["amd.com/gpu"]) == amd
    assert tightest(found, [GPU, "amd.com/gpu"]) == amd
    assert tightest(found, ["google.com/tpu"]) is None
