"""Condition and status of headroom."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.operator.plan.headroom import (
    BufferState,
    HeadroomAdvice,
    StatedHeadroom,
    TypeHeadroom,
)
from services.operator.plan.provisioning import Provisioning, learn_startup
from services.operator.plan.supply import GpusInUse, Resolved, TypeSupply
from services.operator.report.headroom import headroom_findings, headroom_status
from services.operator.report.supply import supply_status
from services.operator.resource.supply import SupplyStatus
from tests.unit.operator.examples import NOW

ADVICE = HeadroomAdvice(0.01, 9, 16, 8, 4, 0.213, 0.0071, 40.0, False, 2, 0, 0.0, NOW)


def supply(advice: HeadroomAdvice | None, ceiling: int | None = 64, mode: str = "") -> TypeSupply:
    stated = StatedHeadroom(mode, 0.01) if mode else None
    resolved = Resolved(ceiling, "Detected", "NodePool/hopper may have 64 GPUs")
    headroom = TypeHeadroom(stated, advice)
    use, law = GpusInUse(24, 8, 36), learn_startup(120.0)
    return TypeSupply("H100", resolved, use, Provisioning(), law, headroom=headroom)


def test_it_says_how_many_at_what_cost_and_what_they_avert() -> None:
    (found,) = headroom_findings(supply(ADVICE, mode="advise"))
    assert (found.type, found.status, found.reason) == ("HeadroomReady", "False", "Advised")
    assert found.message == (
        "hold 16 GPUs of H100 ready (2 times 8), for 40.00 USD/h; 4 are free. A need within a "
        "node's start-up that nothing is free for has a chance of 21.3% now and of 0.7% with it "
        "(1.0% asked for)"
    )


def test_without_a_stated_risk_it_says_why_not_more() -> None:
    (found,) = headroom_findings(supply(ADVICE))
    assert "of 0.7% with it (more would cost more than it averts)" in found.message


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"free_gpus": 16}, "True", "Free"),
        ({"need_gpus": 0, "gpus": 0}, "True", "NoneNeeded"),
        ({"is_capped": True}, "False", "CeilingReached"),
    ],
)
def test_the_reason_says_how_it_stands(change: dict[str, Any], status: str, reason: str) -> None:
    (found,) = headroom_findings(supply(replace(ADVICE, **change)))
    assert (found.status, found.reason) == (status, reason)


def test_what_is_not_in_it_is_said() -> None:
    advice = replace(ADVICE, is_capped=True, n_unknown=3, beyond_ratio=0.25)
    (found,) = headroom_findings(supply(advice))
    for words in (
        "; 9 may be needed, the ceiling or the budget allows no more",
        "; of 3 services it is not known what they may need",
        "; 25% of the nodes come later than forecasts reach",
    ):
        assert words in found.message


def held(advice: HeadroomAdvice | None, buffer: BufferState) -> TypeSupply:
    found = supply(advice, mode="apply")
    return replace(found, headroom=replace(found.headroom, buffer=buffer))


def test_what_holds_it_is_named_while_nodes_come() -> None:
    buffer = BufferState("CapacityBuffer/harmony/h100", 16)
    (found,) = headroom_findings(held(ADVICE, buffer))
    assert (found.status, found.reason) == ("False", "Provisioning")
    assert found.message.endswith(". CapacityBuffer/harmony/h100 asks for 16")
    (found,) = headroom_findings(held(replace(ADVICE, free_gpus=16), buffer))
    assert (found.status, found.reason) == ("True", "Free")


def test_a_buffer_that_holds_nothing_is_said_whatever_is_free() -> None:
    buffer = BufferState("CapacityBuffer/harmony/h100", 16, "BufferUnread", "nothing reads it")
    (found,) = headroom_findings(held(replace(ADVICE, free_gpus=16), buffer))
    assert (found.status, found.reason) == ("False", "BufferUnread")
    assert found.message.endswith("(1.0% asked for). nothing reads it")


def test_what_is_not_known_is_not_nothing() -> None:
    (found,) = headroom_findings(supply(None))
    assert (found.status, found.reason) == ("Unknown", "NotAdvised")
    assert headroom_status(supply(None)) is None
    assert "headroom" not in supply_status(supply(None))


def test_a_fixed_supply_and_one_where_it_is_off_say_nothing_of_it() -> None:
    assert headroom_findings(supply(None, ceiling=None)) == []
    assert headroom_findings(supply(None, mode="off")) == []


def test_the_status_is_in_the_names_of_the_definition() -> None:
    found = supply_status(supply(ADVICE))
    assert found["headroom"] == {
        "risk": 0.01,
        "gpus": 16,
        "freeGpus": 4,
        "costPerHour": 40.0,
        "riskBefore": 0.213,
        "riskAfter": 0.0071,
        "time": f"{NOW:%Y-%m-%dT%H:%M:%SZ}",
    }
    written = SupplyStatus.model_validate(found).to_manifest()["headroom"]
    assert written.keys() == found["headroom"].keys()


def test_what_is_small_is_not_nothing() -> None:
    """A risk of four in a hundred thousand read as none, and so did what an hour cost."""
    advice = replace(ADVICE, risk=0.0001, risk_after=0.00004, usd_per_hour=0.004)
    (found,) = headroom_findings(supply(advice, mode="advise"))
    assert "for 0.004 USD/h;" in found.message
    assert "of 21.3% now and of 0.004% with it (0.01% asked for)" in found.message
    status = headroom_status(supply(advice))
    assert status is not None
    assert (status["riskAfter"], status["costPerHour"]) == (0.00004, 0.004)
