"""Models and beliefs as a client reads them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from services.admin.models.schemas import ModelChange, ModelView, PosteriorDetail, PosteriorView
from tests.unit.admin.shapes import documented, nullable, optional, through

AT = "2026-01-05T12:00:00Z"
MODEL: dict[str, Any] = {
    "id": 3,
    "version": "harmony-flow-3",
    "kind": "flow",
    "status": "promoted",
    "reason": "skill 0.21",
    "config": {"d_model": 64},
    "metrics": {"crps": 0.081},
    "n_bytes": 1200,
    "created_at": AT,
    "promoted_at": AT,
    "retired_at": AT,
}
POSTERIOR: dict[str, Any] = {
    "id": 9,
    "kind": "lead_time",
    "scope": "workload:12",
    "namespace": "prod",
    "workload": "llama-70b",
    "status": "accepted",
    "reason": "",
    "n_observations": 37,
    "summary": {"median_s": 74.2},
    "diagnostics": {"rhat": 1.002},
    "fitted_at": AT,
}
DETAIL: dict[str, Any] = POSTERIOR | {
    "n_draws": 1000,
    "quantiles": {"0.5": [74.2], "0.9": [131.0]},
    "quantities": ["lead_time_s"],
}


def test_a_model_comes_through_whole_and_may_not_have_been_in_service_yet() -> None:
    assert through(ModelView, MODEL) == MODEL
    assert optional(ModelView, MODEL) == set()
    assert nullable(ModelView, MODEL) == {"n_bytes", "promoted_at", "retired_at"}


def test_a_change_of_a_model_needs_no_reason_and_takes_nothing_else() -> None:
    assert ModelChange().reason == ""
    assert ModelChange.model_validate({"reason": "better"}).reason == "better"
    for body in ({"reason": "a\x00b"}, {"status": "promoted"}):
        with pytest.raises(ValidationError):
            ModelChange.model_validate(body)


def test_a_belief_may_be_of_no_single_workload() -> None:
    assert through(PosteriorView, POSTERIOR) == POSTERIOR
    of_all = {"namespace", "workload"}
    assert optional(PosteriorView, POSTERIOR) == nullable(PosteriorView, POSTERIOR) == of_all


def test_a_belief_without_draws_says_so() -> None:
    assert through(PosteriorDetail, DETAIL) == DETAIL
    assert nullable(PosteriorDetail, DETAIL) == {"namespace", "workload", "n_draws"}
    unknown = DETAIL | {"quantiles": {"0.5": [None]}}
    assert through(PosteriorDetail, unknown) == unknown


def test_the_documented_belief_is_one_that_can_be() -> None:
    example = documented(PosteriorDetail)
    assert example.items() <= DETAIL.items()
    assert {len(values) for values in example["quantiles"].values()} == {1}
    assert len(example["quantities"]) == 1
    assert example["quantiles"]["0.5"] == [example["summary"]["median_s"]]
