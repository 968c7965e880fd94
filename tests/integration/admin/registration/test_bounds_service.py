"""How much a namespace's operators may ask for over REST."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient, bearer
from tests.integration.admin.registration.rest_workload import BODY, SPEC, send
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
PATH = "/v1/workloads/lab/chat"
ANY = {"If-Match": "*"}
PUSHED = SPEC | {"indicators": [SPEC["indicators"][0]]}
Open = Callable[..., AppClient]


@pytest.fixture
def open_as(deps: AdminDeps, database: Engine) -> Iterator[Open]:
    """Clients of applications with settings of their own, by operators of some namespaces."""
    clients: list[AppClient] = []

    def open_one(*namespaces: str, **settings: Any) -> AppClient:
        with database.begin() as connection:
            names = list(namespaces) or None
            key = create_key(connection, f"k{len(clients)}", Role.OPERATOR, NOW, None, names)
        set_so = replace(deps, settings=deps.settings.model_copy(update=settings))
        client = AppClient(make_app(set_so), bearer(key.token))
        clients.append(client.__enter__())
        return clients[-1]

    yield open_one
    for client in clients:
        client.__exit__(None, None, None)


def make(client: AppClient, name: str, namespace: str = "lab", spec: Any = SPEC) -> Any:
    body = {"namespace": namespace, "name": name, "spec": spec}
    return send(client, "POST", "/v1/workloads", body)


def test_a_namespace_has_no_more_workloads_than_may_be(open_as: Open) -> None:
    client = open_as("lab", "team", rest_workloads_per_namespace=2)
    assert [make(client, name).status_code for name in "ab"] == [201, 201]
    refused = make(client, "c")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "2 (HARMONY_REST_WORKLOADS_PER_NAMESPACE)" in refused.json()["detail"]
    assert make(client, "c", "team").status_code == 201, "another namespace has room of its own"

    changed = {"spec": SPEC | {"max_replicas": 20}}
    assert send(client, "PUT", "/v1/workloads/lab/a", changed, **ANY).status_code == 200
    assert send(client, "DELETE", "/v1/workloads/lab/a", **ANY).status_code == 204
    assert make(client, "c").status_code == 201
    assert make(client, "a").status_code == 409, "one that comes back needs room as a new one does"


def test_workloads_of_gpuautoscalers_take_no_room(open_as: Open) -> None:
    client = open_as("llm-prod", rest_workloads_per_namespace=1)
    assert make(client, "mine", "llm-prod").status_code == 201
    assert make(client, "other", "llm-prod").status_code == 409


def test_zero_is_no_bound(open_as: Open) -> None:
    client = open_as("lab", rest_workloads_per_namespace=0)
    assert [make(client, name).status_code for name in "abc"] == [201] * 3


def test_of_many_at_once_no_more_are_made_than_may_be(open_as: Open) -> None:
    client = open_as("lab", rest_workloads_per_namespace=3)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: make(client, f"w{i}").status_code, range(16)))
    assert sorted(answers) == [201] * 3 + [409] * 13


def test_any_operator_may_write_a_query_by_default(open_as: Open) -> None:
    assert send(open_as("lab"), "POST", "/v1/workloads", BODY).status_code == 201


def test_only_operators_of_the_fleet_may_write_a_query_where_it_is_set(open_as: Open) -> None:
    own = open_as("lab", rest_queries="fleet")
    refused = make(own, "chat")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "spec.indicators[queue_requests].query" in refused.json()["detail"]
    assert "HARMONY_REST_QUERIES=fleet" in refused.json()["detail"]
    series = [{"name": "sli_ttft_total"}, {"name": "sli_ttft_good", "query": "sum(x)"}]
    counted = {"goals": [{"metric": "ttft", "threshold_s": 0.5}], "series": series}
    refused = make(own, "chat", spec=PUSHED | {"sla": {"objective": counted}})
    assert (refused.status_code, "series[sli_ttft_good].query" in refused.text) == (403, True)
    assert make(own, "chat", spec=PUSHED).status_code == 201, "what is pushed stays open"
    assert make(open_as(rest_queries="fleet"), "other").status_code == 201


def test_a_query_that_stands_may_be_sent_back_and_taken_out(open_as: Open) -> None:
    own, fleet = (open_as(*names, rest_queries="fleet") for names in (("lab",), ()))
    assert make(fleet, "chat").status_code == 201
    kept = SPEC | {"max_replicas": 20}
    assert send(own, "PUT", PATH, {"spec": kept}, **ANY).status_code == 200
    spied = [SPEC["indicators"][0], SPEC["indicators"][1] | {"query": 'sum({namespace="b"})'}]
    answer = send(own, "PUT", PATH, {"spec": kept | {"indicators": spied}}, **ANY)
    assert answer.status_code == 403
    assert send(own, "PUT", PATH, {"spec": PUSHED}, **ANY).status_code == 200
    assert send(own, "PUT", PATH, {"spec": kept}, **ANY).status_code == 403


def test_a_workload_that_comes_back_brings_no_query_of_before(open_as: Open) -> None:
    own, fleet = (open_as(*names, rest_queries="fleet") for names in (("lab",), ()))
    assert make(fleet, "chat").status_code == 201
    assert send(own, "DELETE", PATH, **ANY).status_code == 204
    assert make(own, "chat").status_code == 403
