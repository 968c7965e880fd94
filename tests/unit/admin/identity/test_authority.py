"""Rights over what a request names, by role and namespace."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from services.admin.identity.authority import check_object, check_visible, covers
from services.kernel.errors import Forbidden, NotFound
from services.kernel.security.keys import FLEET, Principal, Role, RoleGrant

OWN, OTHER, THIRD = "llm-prod", "speech", "vision"
PLACES = st.lists(st.sampled_from([OWN, OTHER, THIRD]), max_size=3)
ROLES = st.sampled_from(list(Role))


def principal(**grants: Role) -> Principal:
    """One with a role by namespace; `fleet` is the whole fleet."""
    names = {"own": OWN, "other": OTHER, "fleet": FLEET}
    granted = tuple(RoleGrant(names[place], role) for place, role in grants.items())
    return Principal(1, "0123456789", "ops", granted)


def test_an_object_may_be_changed_by_who_has_the_role_where_it_is() -> None:
    check_object(principal(own=Role.OPERATOR), Role.OPERATOR, OWN, "none")
    check_object(principal(fleet=Role.ADMIN), Role.OPERATOR, OWN, "none")


def test_who_may_look_only_is_told_so() -> None:
    mixed = principal(own=Role.VIEWER, other=Role.ADMIN)
    with pytest.raises(Forbidden):
        check_object(mixed, Role.OPERATOR, OWN, "none")


def test_who_may_not_look_does_not_learn_that_there_is_something() -> None:
    with pytest.raises(NotFound, match=r"^freeze 7 does not exist$"):
        check_object(principal(other=Role.ADMIN), Role.VIEWER, OWN, "freeze 7 does not exist")
    with pytest.raises(NotFound):
        check_object(principal(own=Role.ADMIN), Role.VIEWER, FLEET, "none")


def test_a_namespace_is_visible_where_it_is_named_or_all_are() -> None:
    check_visible(None, OWN)
    check_visible(frozenset({OWN, OTHER}), OWN)
    for visible in (frozenset({OTHER}), frozenset[str]()):
        with pytest.raises(Forbidden) as caught:
            check_visible(visible, OWN)
        assert OWN not in caught.value.message


def test_a_role_covers_namespaces_only_if_it_is_held_in_each() -> None:
    mixed = principal(own=Role.OPERATOR, other=Role.VIEWER)
    assert covers(mixed, Role.OPERATOR, [OWN]) is True
    assert covers(mixed, Role.VIEWER, [OWN, OTHER]) is True
    assert covers(mixed, Role.OPERATOR, [OWN, OTHER]) is False
    assert covers(mixed, Role.VIEWER, [OWN, THIRD]) is False


def test_the_whole_fleet_is_covered_by_a_role_of_the_fleet_only() -> None:
    assert covers(principal(own=Role.ADMIN, other=Role.ADMIN), Role.VIEWER, None) is False
    assert covers(principal(fleet=Role.VIEWER), Role.VIEWER, None) is True
    assert covers(principal(fleet=Role.VIEWER), Role.OPERATOR, None) is False


@given(own=ROLES, other=ROLES, wanted=ROLES, left=PLACES, right=PLACES)
def test_two_lists_are_covered_together_if_each_is(
    own: Role, other: Role, wanted: Role, left: list[str], right: list[str]
) -> None:
    one = principal(own=own, other=other)
    both = covers(one, wanted, left) and covers(one, wanted, right)
    assert covers(one, wanted, left + right) == both


@given(role=ROLES, wanted=ROLES, places=PLACES)
def test_who_has_a_role_in_the_fleet_has_it_everywhere(
    role: Role, wanted: Role, places: list[str]
) -> None:
    everywhere = principal(fleet=role)
    assert covers(everywhere, wanted, [*places, OWN]) == covers(everywhere, wanted, None)
