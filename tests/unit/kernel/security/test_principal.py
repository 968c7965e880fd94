"""Roles include those below them, and hold where they were granted."""

from __future__ import annotations

from services.kernel.security.keys import FLEET, Principal, Role, RoleGrant


def test_roles_include_those_below() -> None:
    order = list(Role)
    assert [str(role) for role in order] == ["viewer", "operator", "approver", "admin"]
    for i, role in enumerate(order):
        assert [role.includes(other) for other in order] == [j <= i for j in range(4)]


def who(*grants: tuple[str, Role]) -> Principal:
    return Principal(1, "p", "n", tuple(RoleGrant(*grant) for grant in grants))


def test_a_grant_holds_where_it_was_given() -> None:
    everywhere = who((FLEET, Role.OPERATOR))
    assert everywhere.may(Role.VIEWER, "a")
    assert everywhere.may(Role.OPERATOR, FLEET)
    assert not everywhere.may(Role.APPROVER, "a")
    assert everywhere.namespaces() is None
    assert everywhere.namespaces(Role.ADMIN) == frozenset()
    scoped = who(("a", Role.APPROVER), ("b", Role.VIEWER))
    assert scoped.may(Role.APPROVER, "a")
    assert not scoped.may(Role.OPERATOR, "b")
    assert not scoped.may(Role.VIEWER, "c")
    assert not scoped.may(Role.VIEWER, FLEET)
    assert scoped.namespaces() == {"a", "b"}
    assert scoped.namespaces(Role.OPERATOR) == {"a"}
    assert scoped.role is Role.APPROVER
    assert not scoped.may_somewhere(Role.ADMIN)
    mixed = who((FLEET, Role.VIEWER), ("a", Role.ADMIN))
    assert mixed.may(Role.ADMIN, "a")
    assert not mixed.may(Role.OPERATOR, "b")
    assert mixed.namespaces() is None
