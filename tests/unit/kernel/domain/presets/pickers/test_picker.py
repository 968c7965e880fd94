"""What both pickers report: the same, by the names of each."""

from __future__ import annotations

import re

import pytest

from services.kernel.domain.presets import Preset, metrics_in
from services.kernel.domain.presets.pickers import GATEWAY, LLM_D


def test_what_it_shares_with_the_extension_is_the_same() -> None:
    llm_d, gateway = (
        {i.name: i.expressions for i in preset.indicators} for preset in (LLM_D, GATEWAY)
    )
    for name in set(llm_d) & set(gateway):
        assert gateway[name][0] in llm_d[name], name
    assert {*llm_d} - {*gateway} == {
        *("itl_p95_ms", "offered_uncached_tokens_per_s", "offered_kv_tokens")
    }
    newest = [metrics_in(expressions[0]) for expressions in llm_d.values()]
    assert all(name.startswith("llm_d_epp_") for names in newest for name in names)


@pytest.mark.parametrize("preset", [GATEWAY, LLM_D])
def test_the_queue_is_that_of_the_whole_pool_and_the_picker_s_own(preset: Preset) -> None:
    queue = next(i for i in preset.indicators if i.name == "queue_requests")
    newest = metrics_in(queue.expressions[0])
    assert [name.partition("_flow_")[2] for name in newest] == ["", "", "control_queue_size"]
    assert "average_queue_size" in newest[0]
    assert newest[2] in queue.optional


@pytest.mark.parametrize("preset", [GATEWAY, LLM_D])
def test_each_failure_is_of_one_kind_and_a_client_s_of_none(preset: Preset) -> None:
    told = {
        "error": ("ModelServerError", "Internal", "Unknown"),
        "refusal": ("ResourceExhausted", "ServiceUnavailable", "InferencePoolResourceExhausted"),
        "": ("BadRequest", "NotFound", "Unauthorized", "Forbidden", "PreconditionFailed"),
    }
    for kind, codes in told.items():
        for code in codes:
            kinds = [loss.kind for loss in preset.losses if matches(loss.labels, code)]
            assert kinds == ([kind] if kind else []), code


def matches(labels: str, code: str) -> bool:
    """Whether a matcher of error codes picks one."""
    name, pattern, _ = labels.split('"')
    is_one = re.fullmatch(pattern, code) is not None
    return is_one if name.endswith("=~") else not is_one
