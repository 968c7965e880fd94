"""GPU budgets in words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.admin.decisions.budget_wording import BudgetWords, explain_budget

CUT = {
    "workload": "demo/a",
    "class": "silver",
    "priority": 100,
    "wanted": 17,
    "granted": 13,
    "gpus": 8,
}


def words(**changes: Any) -> BudgetWords:
    record = {
        "gpu_type": "H100",
        "gpus": 25,
        "held_elsewhere_gpus": 12,
        "price_usd_per_gpu_hour": 3.2,
        "is_feasible": True,
        "n_cut": 1,
        "gave_up": [CUT],
    }
    return explain_budget({"gpu_budget": record | changes})


def test_a_scarce_budget_says_what_it_allows_costs_and_took() -> None:
    assert words() == BudgetWords(
        (
            "All workloads on H100 together may use 25 GPUs; 12 GPUs held by workloads decided on "
            "elsewhere.",
            "It is scarce: one GPU more would avert losses of about $3.20 per hour.",
            "1 workload decided on together got less than wanted.",
        ),
        ("demo/a (silver, priority 100): 13 of 17 replicas, 8 GPUs given up",),
    )


def test_a_budget_that_is_not_scarce_says_only_what_it_allows() -> None:
    found = words(gpus=1, held_elsewhere_gpus=0, price_usd_per_gpu_hour=0.0, n_cut=0, gave_up=[])
    assert found.sentences == (
        "All workloads on H100 together may use 1 GPU.",
        "Nobody who was decided on together with it got less than wanted.",
    )
    assert found.gave_up == ()


def test_more_than_are_named() -> None:
    found = words(n_cut=12, gave_up=[CUT] * 10)
    assert found.sentences[-1] == (
        "12 workloads decided on together got less than wanted; those 10 gave up most."
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"gpus": None, "price_usd_per_gpu_hour": None, "is_feasible": None},
            "The GPU budget of H100 could not be read, so nothing may be added.",
        ),
        (
            {"price_usd_per_gpu_hour": None, "is_feasible": False},
            "What must not be taken away alone exceeds it, so everyone has the least.",
        ),
    ],
)
def test_what_is_wrong_with_a_budget_is_said(changes: dict[str, Any], sentence: str) -> None:
    found = words(**changes)
    assert sentence in found.sentences
    assert not any("None" in text or "$" in text for text in found.sentences)


def test_records_without_a_budget_or_of_an_earlier_version() -> None:
    assert explain_budget({}) == BudgetWords()
    old = {"workload": "demo/a", "class": "gold", "wanted": 4, "granted": 3, "gpus": 1}
    found = explain_budget(
        {"gpu_budget": {"gpu_type": "L4", "gpus": 3, "n_cut": 1, "gave_up": [old]}}
    )
    assert found.sentences[0] == "All workloads on L4 together may use 3 GPUs."
    assert found.gave_up == ("demo/a (gold): 3 of 4 replicas, 1 GPU given up",)


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
items = st.dictionaries(st.sampled_from(list(CUT)), values, max_size=6)
fields = st.sampled_from(
    ["gpu_type", "gpus", "held_elsewhere_gpus", "price_usd_per_gpu_hour", "n_cut", "gave_up"]
)


@given(values | st.lists(values) | st.dictionaries(fields, values | st.lists(items | values)))
def test_a_strange_record_never_breaks_the_page(record: Any) -> None:
    found = explain_budget({"gpu_budget": record})
    assert bool(found.sentences) == isinstance(record, dict)


READY = {
    "gpu_type": "H100",
    "gpus": 16,
    "free_gpus": 4,
    "usd_per_hour": 40.0,
    "risk_before": 0.213,
    "risk_after": 0.0071,
}
SAID = (
    "16 GPUs of H100 should be ready for $40.00 per hour, 4 are free now: a need while a node "
    "starts that nothing is free for has a chance of 21 %, and of 0.71 % with them."
)


def test_headroom_says_what_it_costs_and_averts_with_a_budget_and_without() -> None:
    assert explain_budget({"headroom": READY}) == BudgetWords((SAID,))
    record = {"gpu_type": "H100", "gpus": 25, "n_cut": 0}
    both = explain_budget({"gpu_budget": record, "headroom": READY})
    assert both.sentences[-1] == SAID
    assert len(both.sentences) == 3
    unread = explain_budget({"gpu_budget": record | {"gpus": None}, "headroom": READY})
    assert unread.sentences[-1] == SAID


def test_no_headroom_is_the_chance_alone() -> None:
    (said,) = explain_budget({"headroom": READY | {"gpus": 0, "risk_before": 0.0}}).sentences
    assert said.endswith("nothing is free for has a chance of 0 %.")


@pytest.mark.parametrize("spoilt", [{"gpus": "many"}, {"risk_after": None}, None, []])
def test_headroom_that_is_not_whole_is_left_out(spoilt: Any) -> None:
    given_ = READY | spoilt if isinstance(spoilt, dict) else spoilt
    assert explain_budget({"headroom": given_}) == BudgetWords()
