"""The cluster of a request: by what it names, what its caller may, and which there are."""

from __future__ import annotations

import pytest

from services.admin.identity.cells import Asked, cluster_of
from services.kernel.errors import Ambiguous, Forbidden, NotFound
from services.kernel.security.keys import FLEET, Principal, Role, RoleGrant

TWO = ("eu", "us")


def who(*clusters: str | None) -> Principal:
    return Principal(1, "p", "n", tuple(RoleGrant(FLEET, Role.ADMIN, name) for name in clusters))


@pytest.mark.parametrize(
    ("asked", "caller", "expected"),
    [
        (Asked(), who("eu"), "eu"),
        (Asked(must_name=True), who("eu"), "eu"),
        (Asked("eu"), who("eu"), "eu"),
        (Asked("us"), who("eu"), Forbidden),
        (Asked("nowhere"), who("eu"), Forbidden),
        (Asked(), who(None), None),
        (Asked("us"), who(None), "us"),
        (Asked("nowhere"), who(None), NotFound),
        (Asked(must_name=True), who(None), Ambiguous),
        (Asked(is_page=True), who(None), "eu"),
        (Asked(is_page=True, must_name=True), who(None), Ambiguous),
        (Asked(), who("eu", "us"), Ambiguous),
        (Asked("us"), who("eu", "us"), "us"),
        (Asked(), who("gone"), Forbidden),
        (Asked(), who("gone", "us"), "us"),
        (Asked(), who(None, "us"), None),
    ],
)
def test_the_cluster_of_a_request(
    asked: Asked, caller: Principal, expected: str | type[Exception] | None
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
