"""Karpenter's definitions as the laboratory offers them."""

from __future__ import annotations

import pytest

from services.lab.cluster.nodes.definitions import definitions
from services.lab.cluster.storage.failures import ApiFailure
from tests.unit.lab.cluster.nodes.test_autoscaler import Lab


def test_both_kinds_are_of_the_cluster_and_have_a_status() -> None:
    found = {each["metadata"]["name"]: each["spec"] for each in definitions()}
    assert found.keys() == {"nodepools.karpenter.sh", "nodeclaims.karpenter.sh"}
    for spec in found.values():
        assert spec["scope"] == "Cluster"
        assert spec["versions"][0]["subresources"] == {"status": {}}


def test_a_requirement_needs_a_known_operator() -> None:
    lab = Lab()
    requirement = {"key": "zone", "operator": "Near"}
    spec = {"template": {"spec": {"requirements": [requirement]}}}
    with pytest.raises(ApiFailure, match="operator"):
        lab.create(lab.type("nodepools"), {"metadata": {"name": "p"}, "spec": spec})
