"""Shares that are stated have one range, at every door."""

from __future__ import annotations

import math

import pytest
from pydantic import BaseModel, ValidationError

from services.admin.controls.schemas import PolicyPatch
from services.admin.operations.schemas import BacktestRequest
from services.admin.registration.schemas import SlaBody
from services.cli.study_commands import promises
from services.kernel.domain.shares import SHARE_RULE, is_share
from services.kernel.errors import InvalidInput
from services.operator.resource.spec import Risk

TOO_CLOSE = [0, 1, 1e-310, 5e-324, 1e-10, 1 - 1e-17, 1 - 2e-16, 1 - 1e-10, -0.1, 2, 1e300]


@pytest.mark.parametrize("value", [1e-9, 1e-6, 0.5, 0.999999, 0.999999999])
def test_a_share_that_may_be_stated(value: float) -> None:
    assert is_share(value)
    assert promises(repr(value)) == [value]
    assert SlaBody(epsilon=value).epsilon == value
    assert Risk.model_validate({"epsilon": repr(value)}).epsilon == value


@pytest.mark.parametrize("value", TOO_CLOSE)
def test_what_is_too_close_to_nothing_or_all_is_refused_alike(value: float) -> None:
    assert not is_share(value)
    bodies: list[tuple[type[BaseModel], dict[str, object]]] = [
        (SlaBody, {"epsilon": value}),
        (PolicyPatch, {"epsilon": value}),
        (BacktestRequest, {"epsilons": [value]}),
        (Risk, {"epsilon": repr(value)}),
    ]
    for model, body in bodies:
        with pytest.raises(ValidationError) as caught:
            model.model_validate(body)
        assert SHARE_RULE in {one["msg"].split(" ", 1)[1] for one in caught.value.errors()}
    with pytest.raises(InvalidInput, match="each must be between 0 and 1"):
        promises(repr(value))


def test_no_number_is_no_share() -> None:
    for value in (math.nan, math.inf, -math.inf):
        assert not is_share(value)
        with pytest.raises(ValidationError):
            SlaBody(epsilon=value)
