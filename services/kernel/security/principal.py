"""Principals and their rights: roles, granted for the whole fleet or for namespaces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

FLEET = "*"
"""In a grant: every namespace, and what belongs to none."""


class Role(StrEnum):
    """What a credential may do; each role includes the ones before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"

    def includes(self, needed: Role) -> bool:
        """Check whether this role may do what `needed` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """A role in one namespace (`FLEET`: in all of them) of one cluster (None: of each)."""

    namespace: str
    role: Role
    cluster: str | None = None


def grants_of(
    role: Role, namespaces: list[str] | None, cluster: str | None = None
) -> tuple[RoleGrant, ...]:
    """One role in some namespaces (None: in the whole fleet) of a cluster (None: of each)."""
    names = [FLEET] if namespaces is None else namespaces
    return tuple(RoleGrant(name, role, cluster) for name in names)


@dataclass(frozen=True, slots=True)
class Principal:
    """User or program that asks.

    Attributes:
        key_id: Row of the API key; None: a token of the identity provider.
        prefix: The key's public part, or the token's subject; the actor in the audit log together
            with the name.
        name: What the key's maker called it, or what the identity provider calls the person.
        grants: What it may do, and where.
        expires_at: From then on it is refused; None: never.
    """

    key_id: int | None
    prefix: str
    name: str
    grants: tuple[RoleGrant, ...]
    expires_at: datetime | None = None

    @property
    def actor(self) -> str:
        """Name of it in the audit log."""
        return f"{self.name} ({self.prefix})"

    @property
    def role(self) -> Role:
        """The highest role it has anywhere."""
        order = list(Role)
        return max((grant.role for grant in self.grants), key=order.index)

    @property
    def clusters(self) -> frozenset[str] | None:
        """Clusters in which it may do anything; None: in each."""
        named = [grant.cluster for grant in self.grants]
        return None if None in named else frozenset(name for name in named if name is not None)

    def within(self, cluster: str | None) -> Principal:
        """The same with what it may do in one cluster; None: what it may do in each of them."""
        kept = tuple(grant for grant in self.grants if grant.cluster in (None, cluster))
        return replace(self, grants=kept)

    def may(self, role: Role, namespace: str) -> bool:
        """Check whether it may do what `role` may in `namespace` (`FLEET`: in all of them)."""
        return any(
            grant.role.includes(role)
            for grant in self.grants
            if grant.namespace in (FLEET, namespace)
        )

    def may_somewhere(self, role: Role) -> bool:
        """Check whether it has `role` in at least one namespace."""
        return any(grant.role.includes(role) for grant in self.grants)

    def namespaces(self, role: Role = Role.VIEWER) -> frozenset[str] | None:
        """Namespaces in which it has `role`; None: all of them."""
        if self.may(role, FLEET):
            return None
        return frozenset(grant.namespace for grant in self.grants if grant.role.includes(role))
