"""The documented shapes of a push are those that the parser reads."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from services.ingest.push.schemas import PushAnswer, PushRequest, RejectedSamples
from services.ingest.series.translate import ParsedPush, parse_push
from services.kernel.domain.objective import GoalSpec, series_names
from services.kernel.errors import InvalidInput

EXAMPLE: dict[str, Any] = PushRequest.model_json_schema()["example"]
ANSWER: dict[str, Any] = {
    "accepted": 0,
    "rejected": [{"reason": "bad_time", "count": 1, "example": "shop/llama rate: 'soon'"}],
}


def parsed(body: dict[str, Any]) -> ParsedPush:
    return parse_push(orjson.dumps(body), max_samples=10)


def test_the_documented_push_is_of_the_documented_shape() -> None:
    assert PushRequest.model_validate(EXAMPLE).model_dump() == {
        "observations": [
            series | {"samples": [tuple(sample) for sample in series["samples"]]}
            for series in EXAMPLE["observations"]
        ]
    }


def test_the_parser_reads_the_documented_push_without_a_refusal() -> None:
    (series,) = EXAMPLE["observations"]
    push = parsed(EXAMPLE)
    assert [str(name) for name in push.names] == ["shop/llama request_rate_rps"]
    assert (push.rejections.n_rejected, push.unreadable) == (0, {})
    assert push.samples.value.tolist() == [value for _, value in series["samples"]]
    assert (push.samples.at_us[1] - push.samples.at_us[0]) == 15_000_000


@pytest.mark.parametrize("field", ["namespace", "workload", "indicator", "samples"])
def test_a_field_that_the_parser_needs_is_needed_by_the_shape(field: str) -> None:
    body = copy.deepcopy(EXAMPLE)
    del body["observations"][0][field]
    with pytest.raises(InvalidInput, match=field):
        parsed(body)
    with pytest.raises(ValidationError, match=field):
        PushRequest.model_validate(body)


@pytest.mark.parametrize("value", [41, 41.5, "NaN", "+Inf", None])
def test_a_value_is_a_number_or_says_that_it_is_none(value: object) -> None:
    body = copy.deepcopy(EXAMPLE)
    body["observations"][0]["samples"] = [[1767571200, value]]
    (series,) = PushRequest.model_validate(body).observations
    assert series.samples == [(1767571200, value)]


@pytest.mark.parametrize("sample", [[1767571200], [1767571200, 1.0, 2.0], [None, 1.0], 5])
def test_a_sample_is_a_time_and_a_value(sample: object) -> None:
    body = copy.deepcopy(EXAMPLE)
    body["observations"][0]["samples"] = [sample]
    with pytest.raises(ValidationError):
        PushRequest.model_validate(body)


def test_an_answer_tells_what_was_refused_and_why() -> None:
    assert PushAnswer.model_validate(ANSWER).model_dump() == ANSWER
    assert PushAnswer.model_validate({"accepted": 3, "rejected": []}).accepted == 3
    wrong: list[dict[str, Any]] = [
        {"accepted": -1, "rejected": []},
        {"accepted": 1},
        {"rejected": []},
    ]
    for body in wrong:
        with pytest.raises(ValidationError):
            PushAnswer.model_validate(body)


def test_a_reason_is_listed_only_where_it_refused_something() -> None:
    (refused,) = ANSWER["rejected"]
    assert RejectedSamples.model_validate(refused).count == 1
    for changes in ({"count": 0}, {"reason": None}, {"example": None}):
        with pytest.raises(ValidationError):
            RejectedSamples.model_validate(refused | changes)


def test_the_counts_that_the_documents_push_are_read_and_named_as_they_should_be() -> None:
    page = (Path(__file__).parents[4] / "docs" / "observability.md").read_text()
    sent = page.split("/v1/observations", 1)[1].split("-d '", 1)[1].split("'\n", 1)[0]
    push = parsed(orjson.loads(sent))
    assert (push.rejections.n_rejected, push.unreadable) == (0, {})
    allowed = series_names((GoalSpec(metric="ttft", threshold_s=0.5),))
    assert {name.indicator for name in push.names} <= set(allowed)
    values = push.samples.value.tolist()
    assert (values[1] - values[0], values[3] - values[2]) == (120, 114)
