"""The cluster of a request: by what it names, what its caller may, and which there are."""

from __future__ import annotations

import pytest

from services.admin.identity.cells import AskedCluster, cluster_of
from services.kernel.errors import Ambiguous, Forbidden, NotFound
from services.kernel.security.keys import FLEET, Principal, Role, RoleGrant

TWO = ("eu", "us")


def who(*clusters: str | None) -> Principal:
    return Principal(1, "p", "n", tuple(RoleGrant(FLEET, Role.ADMIN, name) for name in clusters))


@pytest.mark.parametrize(
    ("asked", "caller", "expected"),
    [
        (AskedCluster(), who("eu"), "eu"),
        (AskedCluster(must_name=True), who("eu"), "eu"),
        (AskedCluster("eu"), who("eu"), "eu"),
        (AskedCluster("us"), who("eu"), Forbidden),
        (AskedCluster("nowhere"), who("eu"), Forbidden),
        (AskedCluster(), who(None), None),
        (AskedCluster("us"), who(None), "us"),
        (AskedCluster("nowhere"), who(None), NotFound),
        (AskedCluster(must_name=True), who(None), Ambiguous),
        (AskedCluster(is_page=True), who(None), "eu"),
        (AskedCluster(is_page=True, must_name=True), who(None), Ambiguous),
        (AskedCluster(), who("eu", "us"), Ambiguous),
        (AskedCluster("us"), who("eu", "us"), "us"),
        (AskedCluster(), who("gone"), Forbidden),
        (AskedCluster(), who("gone", "us"), "us"),
        (AskedCluster(), who(None, "us"), None),
    ],
)
def test_the_cluster_of_a_request(
    asked: AskedCluster, caller: Principal, expected: str | type[Exception] | None
) -> None:
    if isinstance(expected, type):
        with pytest.raises(expected):
            cluster_of(asked, caller, TWO)
    else:
        assert cluster_of(asked, caller, TWO) == expected


def test_rights_of_one_cluster_are_none_in_another() -> None:
    grants = (
        RoleGrant("a", Role.ADMIN, "eu"),
        RoleGrant("b", Role.VIEWER, "us"),
        RoleGrant("c", Role.VIEWER),
    )
    mixed = Principal(1, "p", "n", grants)
    assert mixed.within("eu").namespaces() == {"a", "c"}
    assert mixed.within("us").namespaces() == {"b", "c"}
    assert mixed.within(None).namespaces() == {"c"}
    assert not mixed.within("us").may(Role.ADMIN, "a")
    assert mixed.clusters is None
    assert who("eu", "us").clusters == {"eu", "us"}
