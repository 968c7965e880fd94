"""Addresses of requests."""

from __future__ import annotations

import pytest

from services.lab.cluster.storage.failures import ApiFailure
from services.lab.cluster.storage.resources import Registry
from services.lab.cluster.wire.routes import ApiCall, Place, parse_call, parse_path


def call(method: str, path: str, **query: str) -> ApiCall:
    place = parse_path(path)
    assert place is not None
    return parse_call(Registry(), method, place, query)


def test_paths_outside_an_api_version_are_no_place() -> None:
    assert parse_path("/api/v1/pods") == Place("", "v1", ("pods",))
    assert parse_path("/apis/apps/v1") == Place("apps", "v1", ())
    assert [parse_path(path) for path in ("/", "/api", "/apis/apps", "/healthz")] == [None] * 4


@pytest.mark.parametrize(
    ("method", "path", "verb", "namespace", "name", "subresource"),
    [
        ("GET", "/api/v1/pods", "list", "", "", ""),
        ("GET", "/api/v1/namespaces/n/pods", "list", "n", "", ""),
        ("POST", "/api/v1/namespaces/n/pods", "create", "n", "", ""),
        ("DELETE", "/api/v1/namespaces/n/pods", "deletecollection", "n", "", ""),
        ("PUT", "/api/v1/namespaces/n/pods/p", "update", "n", "p", ""),
        ("GET", "/api/v1/namespaces/n", "get", "", "n", ""),
        ("PATCH", "/apis/apps/v1/namespaces/n/deployments/d/scale", "patch", "n", "d", "scale"),
        ("POST", "/api/v1/namespaces/n/pods/p/eviction", "create", "n", "p", "eviction"),
    ],
)
def test_verbs(
    method: str, path: str, verb: str, namespace: str, name: str, subresource: str
) -> None:
    found = call(method, path)
    assert (found.verb, found.namespace, found.name) == (verb, namespace, name)
    assert found.subresource == subresource
    assert found.question.verb == verb


def test_a_watch_is_a_get_with_an_option() -> None:
    found = call("GET", "/api/v1/pods", watch="true", allowWatchBookmarks="1")
    assert found.verb == "watch"
    assert found.has("allowWatchBookmarks")
    assert not found.has("sendInitialEvents")
    assert call("GET", "/api/v1/pods", watch="false").verb == "list"


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/api/v1/trees", 404),
        ("GET", "/api/v1/pods/p", 404),
        ("GET", "/api/v1/namespaces/n/nodes", 404),
        ("GET", "/api/v1/namespaces/n/pods/p/scale", 404),
        ("GET", "/api/v1/namespaces/n/pods/p/log/x", 404),
        ("POST", "/api/v1/pods", 405),
        ("PUT", "/api/v1/namespaces/n/pods", 405),
        ("DELETE", "/apis/apps/v1/namespaces/n/deployments/d/scale", 405),
    ],
)
def test_what_is_not_served(method: str, path: str, code: int) -> None:
    with pytest.raises(ApiFailure) as failure:
        call(method, path)
    assert failure.value.code == code
