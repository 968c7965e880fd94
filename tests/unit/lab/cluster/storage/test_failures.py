"""Refusals in the API server's words."""

from __future__ import annotations

from services.lab.cluster.storage import failures
from services.lab.cluster.storage.failures import Cause, FieldConflict
from services.lab.cluster.storage.resources import DEPLOYMENTS, PODS


def test_a_refusal_is_a_status_object() -> None:
    status = failures.not_found(DEPLOYMENTS, "x").status
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 404, "NotFound")
    assert status["message"] == 'deployments.apps "x" not found'
    assert status["details"] == {"name": "x", "kind": "deployments", "group": "apps"}
    assert "group" not in failures.already_exists(PODS, "p").details


def test_conflicts_of_managers_are_counted_and_named() -> None:
    one = FieldConflict("kubectl", "apps/v1", ".spec.replicas")
    found = failures.manager_conflict([one])
    assert found.message == (
        'Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: .spec.replicas'
    )
    two = failures.manager_conflict([one, FieldConflict("hpa", "v2", ".spec.x")])
    assert two.message.startswith("Apply failed with 2 conflicts: ")
    assert [cause["field"] for cause in two.details["causes"]] == [".spec.replicas", ".spec.x"]


def test_one_cause_is_a_phrase_and_several_a_list() -> None:
    causes = [Cause("spec.a", "too low"), Cause("spec.b", "too high")]
    one, two = (failures.invalid(DEPLOYMENTS, "x", causes[:n]) for n in (1, 2))
    assert one.message == 'Deployment.apps "x" is invalid: spec.a: too low'
    assert two.message.endswith("is invalid: [spec.a: too low, spec.b: too high]")
    assert (one.code, len(two.details["causes"])) == (422, 2)


def test_a_client_that_asks_too_often_is_asked_to_wait() -> None:
    found = failures.too_many_requests("slowly", 7)
    assert (found.code, found.headers["Retry-After"]) == (429, "7")
