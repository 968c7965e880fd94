"""Rights of a principal over an object that a request names; pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.kernel.errors import Forbidden, NotFound
from services.kernel.security.keys import FLEET, Principal, Role

NOT_ALLOWED = "this credential does not allow this; GET /v1/whoami says what it allows"


def check_object(principal: Principal, role: Role, namespace: str, missing: str) -> None:
    """Check that `principal` may act as `role` on an object of `namespace` that it named by an id.

    Args:
        principal: Who asks.
        role: Role that is needed there.
        namespace: Where the object is (`FLEET`: nowhere).
        missing: Message where there is no such object.

    Raises:
        NotFound: It may not even look there, and so does not learn that the object exists.
        Forbidden: It may look, but not do this.
    """
    if not principal.may(Role.VIEWER, namespace):
        raise NotFound(missing)
    if not principal.may(role, namespace):
        raise Forbidden(NOT_ALLOWED)


def check_visible(namespaces: frozenset[str] | None, namespace: str) -> None:
    """Check that `namespace` is one of those that may be seen (None: all).

    Raises:
        Forbidden: It is not; the message does not tell whether it exists.
    """
    if namespaces is not None and namespace not in namespaces:
        raise Forbidden(NOT_ALLOWED)


def covers(principal: Principal, role: Role, namespaces: Sequence[str] | None) -> bool:
    """True where `principal` has `role` in all of `namespaces` (None: in the whole fleet)."""
    wanted = [FLEET] if namespaces is None else namespaces
    return all(principal.may(role, namespace) for namespace in wanted)
