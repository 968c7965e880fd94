"""`spec.supply` of a GPUBudget."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from services.operator.resource.spec import GPUBudgetSpec
from services.operator.resource.supply import Supply, SupplyHeadroom, SupplyStatus


def written(**supply: Any) -> Supply:
    spec = GPUBudgetSpec.model_validate({"gpuType": "H100", "gpus": 64, "supply": supply})
    assert spec.supply is not None
    return spec.supply


def test_what_is_left_out_is_found_or_learned() -> None:
    assert written() == Supply(mode="auto", ceiling=None, node_startup_s=None)
    assert GPUBudgetSpec.model_validate({"gpuType": "H100", "gpus": 64}).supply is None


def test_a_supply_as_users_write_it() -> None:
    found = written(mode="provisioned", ceiling=96, nodeStartup="4m")
    assert (found.mode, found.ceiling, found.node_startup_s) == ("provisioned", 96, 240.0)
    assert found.to_manifest() == {"mode": "provisioned", "ceiling": 96, "nodeStartup": "4m"}


@pytest.mark.parametrize(
    ("supply", "field"),
    [
        ({"mode": "Provisioned"}, "mode"),
        ({"ceiling": -1}, "ceiling"),
        ({"nodeStartup": "4"}, "nodeStartup"),
        ({"headroom": {"mode": "hold"}}, "headroom.mode"),
        ({"headroom": {"risk": "0"}}, "headroom.risk"),
        ({"headroom": {"risk": "0.51"}}, "headroom.risk"),
    ],
)
def test_what_is_wrong_names_its_field(supply: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError, match=f"supply.{field}"):
        written(**supply)


@pytest.mark.parametrize(
    ("supply", "message"),
    [
        (
            {"price": "2.50"},
            "supply.*price='2.50' is no field of it; its fields are ceiling, headroom, mode, "
            "nodeStartup, spot",
        ),
        ({"node_startup": "4m"}, "node_startup='4m' is no field of it"),
        ({"headroom": {"gpus": 8}}, "headroom.*gpus=8 is no field of it; its fields are mode, ris"),
    ],
)
def test_a_field_that_is_not_known_is_refused(supply: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=f"(?s){message}"):
        written(**supply)


def test_headroom_is_what_costs_least_unless_a_risk_is_stated() -> None:
    assert written().headroom is None
    assert written(headroom={}).headroom == SupplyHeadroom(mode="advise", risk=None)
    found = written(headroom={"risk": "0.05", "mode": "off"})
    assert found.headroom is not None
    assert found.headroom.to_manifest() == {"mode": "off", "risk": "0.05"}


def test_the_status_is_written_in_the_names_of_the_definition() -> None:
    status = SupplyStatus(mode="provisioned", ceiling=96, node_gpus=32, node_startups=4)
    assert status.to_manifest() == {
        "mode": "provisioned",
        "ceiling": 96,
        "nodeGpus": 32,
        "nodeStartups": 4,
    }


def test_spot_nodes_are_stated_or_left_to_their_labels() -> None:
    assert written(spot=True).to_manifest()["spot"] is True
    assert written().spot is None
