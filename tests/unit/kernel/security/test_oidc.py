"""Settings of the identity provider, and claims to roles."""

from __future__ import annotations

from typing import Any

import pytest

from services.kernel.errors import ConfigurationError
from services.kernel.security.keys import FLEET, Role, RoleGrant
from services.kernel.security.oidc import grants_in, is_safe, name_in, parse_role_map, policy_of
from services.kernel.settings import Settings

GOOD = {"oidc_issuer": "https://id.example/realms/x", "oidc_audience": "harmony"}


def settings(**changes: Any) -> Settings:
    return Settings(_env_file=None, **(GOOD | changes))


def test_off_by_default() -> None:
    assert policy_of(Settings(_env_file=None)) is None


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"oidc_issuer": "http://id.example"}, "HARMONY_OIDC_ISSUER"),
        ({"oidc_issuer": "id.example"}, "HARMONY_OIDC_ISSUER"),
        ({"oidc_issuer": "https://"}, "HARMONY_OIDC_ISSUER"),
        ({"oidc_issuer": "https://id.example?x=1"}, "HARMONY_OIDC_ISSUER"),
        ({"oidc_issuer": "https://[::1"}, "HARMONY_OIDC_ISSUER"),
        ({"oidc_issuer": "https://[::1]x"}, "HARMONY_OIDC_ISSUER"),
        ({"oidc_issuer": "https://id.example:99999"}, "HARMONY_OIDC_ISSUER"),
        ({"oidc_issuer": "https://id.example:abc"}, "HARMONY_OIDC_ISSUER"),
        ({"oidc_issuer": "https://id.example\x00"}, "HARMONY_OIDC_ISSUER"),
        ({"oidc_issuer": "https://me:secret@id.example"}, "HARMONY_OIDC_ISSUER"),
        ({"oidc_audience": ""}, "HARMONY_OIDC_AUDIENCE"),
        ({"oidc_algorithms": "none"}, "HARMONY_OIDC_ALGORITHMS"),
        ({"oidc_algorithms": "RS256, HS256"}, "HARMONY_OIDC_ALGORITHMS"),
        ({"oidc_algorithms": " ,"}, "HARMONY_OIDC_ALGORITHMS"),
        ({"oidc_role_map": "sre=admin"}, "HARMONY_OIDC_ROLE_MAP"),
        ({"oidc_role_map": "[]"}, "HARMONY_OIDC_ROLE_MAP"),
        ({"oidc_role_map": '{"sre": "root"}'}, "HARMONY_OIDC_ROLE_MAP"),
        ({"oidc_role_map": '{"sre": 7}'}, "HARMONY_OIDC_ROLE_MAP"),
        ({"oidc_role_map": '{"sre": [7]}'}, "HARMONY_OIDC_ROLE_MAP"),
        ({"oidc_role_map": '{"sre": "admin@"}'}, "HARMONY_OIDC_ROLE_MAP"),
        ({"oidc_role_map": '{"sre": "admin@*"}'}, "HARMONY_OIDC_ROLE_MAP"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{names}") as caught:
        policy_of(settings(**changes))
    assert "secret" not in caught.value.message


def test_http_is_for_this_machine() -> None:
    assert is_safe("http://127.0.0.1:8080/x")
    assert is_safe("http://[::1]/x")
    assert not is_safe("http://127.0.0.1.example/x")
    assert not is_safe("file:///etc/passwd")


def test_values_of_the_claim_become_grants() -> None:
    text = '{"sre": "admin", "team": ["operator@a", "viewer"], "none": []}'
    policy = policy_of(settings(oidc_role_map=text, oidc_roles_claim="realm.roles"))
    assert policy is not None
    assert policy.grants == parse_role_map(text)
    everywhere = RoleGrant(FLEET, Role.VIEWER)
    team = (RoleGrant("a", Role.OPERATOR), everywhere)
    for claims, expected in (
        ({"realm": {"roles": ["team", "team", "x"]}}, team),
        ({"realm.roles": ["team"]}, team),
        ({"realm": {"roles": "sre"}}, (RoleGrant(FLEET, Role.ADMIN),)),
        ({"realm": {"roles": ["none", None, 7]}}, ()),
        ({"realm": {"roles": {"sre": 1}}}, ()),
        ({"realm": ["sre"]}, ()),
        ({"roles": ["sre"]}, ()),
        ({}, ()),
    ):
        assert grants_in(claims, policy) == expected, claims


def test_two_people_never_have_one_subject() -> None:
    """Limits, answers to repeated requests and the audit log go by what is shown of it."""
    policy = policy_of(settings(oidc_issuer="https://id.example", oidc_audience="h"))
    assert policy is not None
    stem = "cn=" + "x" * 120
    given = ["ann", f"{stem}1", f"{stem}2", "a\x1bn", "a\x07n", "a?n"]
    shown = [name_in({"sub": sub}, policy)[0] for sub in given]
    assert shown[0] == "ann"
    assert len(set(shown)) == len(given)
    assert len({name_in({"sub": sub}, policy)[0] for sub in [*given, shown[1]]}) == len(given) + 1
    assert all(len(one) <= 100 and one.isprintable() for one in shown)
