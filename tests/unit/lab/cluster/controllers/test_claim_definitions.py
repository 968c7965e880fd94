"""The kinds of dynamic resource allocation as the laboratory defines them."""

from __future__ import annotations

import pytest

from services.lab.cluster.controllers.claim_definitions import VERSIONS, definitions
from services.lab.cluster.storage.failures import ApiFailure
from tests.unit.lab.cluster.controllers.test_claims import ClaimingCluster
from tests.unit.operator.allocation import request, template


@pytest.mark.parametrize("version", VERSIONS)
def test_names_and_scopes(version: str) -> None:
    found = {each["metadata"]["name"]: each["spec"] for each in definitions(version)}
    assert {name: spec["scope"] for name, spec in found.items()} == {
        "deviceclasses.resource.k8s.io": "Cluster",
        "resourceslices.resource.k8s.io": "Cluster",
        "resourceclaims.resource.k8s.io": "Namespaced",
        "resourceclaimtemplates.resource.k8s.io": "Namespaced",
    }
    assert {spec["versions"][0]["name"] for spec in found.values()} == {version}


def test_a_request_has_one_mode_by_default_and_no_unknown_one() -> None:
    cluster = ClaimingCluster()
    cluster.add(template("x", request()))
    stored = cluster.get(cluster.types["ResourceClaimTemplate"], "x")
    (asked,) = stored["spec"]["spec"]["devices"]["requests"]
    assert asked["exactly"]["allocationMode"] == "ExactCount"
    with pytest.raises(ApiFailure, match="allocationMode"):
        cluster.add(template("y", request(allocationMode="Most")))
