"""Authorisation: bearer tokens, roles, access reviews."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from services.lab.cluster.storage import failures
from services.lab.cluster.storage.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    Obj,
    ResourceType,
)
from services.lab.cluster.storage.store import Store


@dataclass(frozen=True, slots=True)
class User:
    """User that a bearer token stands for."""

    name: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """Question of an access review: may a user do this?"""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def target(self) -> str:
        """The resource as rules name it, e.g. `deployments/scale`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


ADMIN = User("kubernetes-admin", ("system:masters", "system:authenticated"))
_SELF_REVIEWS = ("selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews")
_EVERYTHING = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}


class Access:
    """Authentication by bearer token and authorisation by roles.

    Args:
        store: Where roles, bindings and service accounts are.
        admin_token: Who shows it may do everything; None switches the checks off.
    """

    def __init__(self, store: Store, admin_token: str | None) -> None:
        self._store = store
        self._admin_token = admin_token
        self._accounts: dict[str, tuple[str, str]] = {}

    def identify(self, header: str | None) -> User:
        """The user of an Authorization header.

        Raises:
            ApiFailure: 401 when tokens are asked for and this is none.
        """
        token = (header or "").removeprefix("Bearer ").strip()
        account = self._accounts.get(token)
        if account is not None and self._store.get(SERVICE_ACCOUNTS, *account):
            return account_user(*account)
        if self._admin_token is None or token == self._admin_token:
            return ADMIN
        raise failures.unauthorized()

    def issue_token(self, namespace: str, name: str) -> str:
        """A bearer token of a service account."""
        digest = hashlib.blake2b(f"{namespace}/{name}".encode(), digest_size=24).hexdigest()
        token = f"sa-{digest}"
        self._accounts[token] = (namespace, name)
        return token

    def check(self, user: User, question: Question) -> None:
        """Raises 403 when the roles do not allow it."""
        if self.is_allowed(user, question):
            return
        scope = (
            f' in the namespace "{question.namespace}"'
            if question.namespace
            else (" at the cluster scope")
        )
        why = (
            f'User "{user.name}" cannot {question.verb} resource "{question.target}" in API group '
            f'"{question.group}"{scope}'
        )
        name = f"{question.resource}.{question.group}" if question.group else question.resource
        raise failures.forbidden(name, question.name, why)

    def is_allowed(self, user: User, question: Question) -> bool:
        """Check whether a rule of one of the user's roles covers it."""
        if "system:masters" in user.groups or question.resource in _SELF_REVIEWS:
            return True
        return any(_covers(rule, question) for rule in self._rules(user, question.namespace))

    def review(self, rtype: ResourceType, body: Obj, user: User) -> Obj:
        """Answer a review of access, of one's own rules, or of who one is."""
        spec = body.get("spec") or {}
        if rtype.plural == "selfsubjectreviews":
            who = {"username": user.name, "groups": list(user.groups)}
            return _answer(rtype, body, {"userInfo": who})
        if rtype.plural == "selfsubjectrulesreviews":
            return _answer(rtype, body, self._own_rules(user, spec.get("namespace", "")))
        if rtype.plural != "selfsubjectaccessreviews":
            user = User(spec.get("user", ""), tuple(spec.get("groups") or ()))
            if user.name.startswith("system:serviceaccount:"):
                _, _, namespace, name = user.name.split(":", 3)
                user = account_user(namespace, name)
        asked = spec.get("resourceAttributes")
        if asked is None:
            allowed = "system:masters" in user.groups
        else:
            question = Question(
                asked.get("verb", "*"),
                asked.get("group", ""),
                asked.get("resource", "*"),
                asked.get("subresource", ""),
                asked.get("namespace", ""),
                asked.get("name", ""),
            )
            allowed = self.is_allowed(user, question)
        return _answer(rtype, body, {"allowed": allowed})

    def _own_rules(self, user: User, namespace: str) -> Obj:
        """List what a user may do in a namespace, as `kubectl auth can-i --list` shows it."""
        is_admin = "system:masters" in user.groups
        rules = [_EVERYTHING] if is_admin else list(self._rules(user, namespace))
        of_paths = [r for r in rules if r.get("nonResourceURLs")]
        of_resources = [r for r in rules if r.get("resources")]
        return {"resourceRules": of_resources, "nonResourceRules": of_paths, "incomplete": False}

    def _rules(self, user: User, namespace: str) -> Iterator[dict[str, Any]]:
        for stored in self._store.each(CLUSTER_ROLE_BINDINGS):
            if _binds(stored.obj, user):
                yield from self._role_rules(stored.obj["roleRef"], "")
        if namespace:
            for stored in self._store.each(ROLE_BINDINGS, namespace):
                if _binds(stored.obj, user):
                    yield from self._role_rules(stored.obj["roleRef"], namespace)

    def _role_rules(self, reference: Obj, namespace: str) -> list[dict[str, Any]]:
        if reference["kind"] == "ClusterRole":
            role = self._store.get(CLUSTER_ROLES, "", reference["name"])
        else:
            role = self._store.get(ROLES, namespace, reference["name"])
        return (role or {}).get("rules") or []


def _answer(rtype: ResourceType, body: Obj, status: Obj) -> Obj:
    head = {"kind": rtype.kind, "apiVersion": rtype.api_version}
    parts = {"metadata": body.get("metadata") or {}, "status": status}
    return {**head, **({"spec": body["spec"]} if "spec" in body else {}), **parts}


def account_user(namespace: str, name: str) -> User:
    """The user that a service account is."""
    return User(
        f"system:serviceaccount:{namespace}:{name}",
        (
            "system:serviceaccounts",
            f"system:serviceaccounts:{namespace}",
            "system:authenticated",
        ),
    )


def _binds(binding: Obj, user: User) -> bool:
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name")
        if kind == "ServiceAccount":
            if user.name == f"system:serviceaccount:{subject.get('namespace', '')}:{name}":
                return True
        elif (kind == "User" and name == user.name) or (kind == "Group" and name in user.groups):
            return True
    return False


def _covers(rule: dict[str, Any], question: Question) -> bool:
    resources = rule.get("resources") or ()
    names = rule.get("resourceNames") or ()
    return (
        bool({"*", question.verb} & set(rule.get("verbs") or ()))
        and bool({"*", question.group} & set(rule.get("apiGroups") or ()))
        and bool({"*", question.target, f"*/{question.subresource}"} & set(resources))
        and (not names or question.name in names)
    )
