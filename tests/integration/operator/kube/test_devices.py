"""Devices and claims as far as they can be read; what cannot costs only what needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.operator.devices.seen_devices import GROUP
from services.operator.kube.devices import read_devices
from services.operator.resource.rights import FURTHER_RIGHTS, RIGHTS
from tests.integration.operator.conftest import Bench
from tests.integration.operator.devices.claimed import (
    PLURALS,
    add_template,
    deploy_claiming,
    drop_devices,
    serve_devices,
)
from tests.integration.operator.resource.test_rights import act_as, without

pytestmark = pytest.mark.integration


@pytest.fixture
def dra(bench: Bench) -> Iterator[Bench]:
    """A service that claims one H100 of eight."""
    serve_devices(bench)
    add_template(bench.lab, "one")
    deploy_claiming(bench.lab, "llama", 1)
    bench.lab.autoscale("llama")
    yield bench
    drop_devices(bench.lab)


def test_classes_slices_claims_and_templates_are_read(dra: Bench) -> None:
    found = read_devices(dra.deps.kube)
    assert (found.is_on, found.is_served, found.problem) == (True, True, "")
    assert list(found.classes) == ["gpu.nvidia.com"]
    assert len(found.devices) == 8
    assert (dra.lab.namespace, "one") in found.templates
    (claim,) = found.claims.values()
    assert claim.holds[0].driver == "gpu.nvidia.com"
    assert found.allocated == set(claim.holds)


def test_without_the_rights_a_condition_says_what_is_lost(dra: Bench) -> None:
    act_as(dra, RIGHTS)
    dra.reconcile()
    found = dra.lab.condition("llama", "RoomUnknown")
    assert (found["status"], found["reason"]) == ("True", "ClaimsUnreadable")
    assert "grant the operator list and watch on deviceclasses" in found["message"]
    dra.decide("llama", 2, current_replicas=1)
    dra.reconcile()
    assert dra.lab.replicas("llama") == 2


def test_each_kind_needs_its_right(dra: Bench) -> None:
    for resource in sorted(PLURALS):
        assert any(resource in right.resources for right in FURTHER_RIGHTS)
    act_as(dra, without("resourceslices", "list", "watch"))
    assert "resourceslices" in read_devices(dra.deps.kube).problem


def test_off_or_unused_nothing_is_asked_for(dra: Bench) -> None:
    dra.deps.settings.operator_dra = False
    dra.lab.http.delete("/lab/requests")
    dra.reconcile()
    assert dra.lab.condition("llama", "RoomUnknown")["reason"] == "ClaimsNotRead"
    dra.deps.settings.operator_dra = True
    dra.lab.delete_autoscaler("llama")
    dra.lab.deploy("other")
    dra.lab.autoscale("other")
    dra.reconcile()
    assert dra.lab.condition("other", "RoomUnknown")["status"] == "False"
    asked = dra.lab.http.get("/lab/requests").json()["requests"]
    assert not [each for each in asked if each["group"] == GROUP and each["resource"] in PLURALS]


def test_an_object_that_is_odd_leaves_the_room_unknown(
    dra: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = {"metadata": {"name": "odd"}, "spec": {"selectors": [1]}}
    monkeypatch.setattr(dra.deps.kube, "list_kind", lambda served: [odd])
    assert "has fields of other types" in read_devices(dra.deps.kube).problem
