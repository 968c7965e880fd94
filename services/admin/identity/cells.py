"""The cluster that a request is about, and what its caller may do there.

While a database holds one cluster nobody names one, and nothing is narrowed. With several a request
acts in one of them, or, where its caller may, in all: whatever it then reads or writes goes through
a connection that sees no other cluster (`services.kernel.db.clusters`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.admin.identity.authority import NOT_ALLOWED
from services.kernel.errors import Ambiguous, Forbidden, NotFound
from services.kernel.security.keys import Principal


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says of clusters.

    Attributes:
        named: The one that it names; None: none.
        is_page: It reads for the console, which begins with the first cluster.
        must_name: It names or makes something that each cluster may have one of.
    """

    named: str | None = None
    is_page: bool = False
    must_name: bool = False


def cluster_of(asked: Asked, principal: Principal, known: Sequence[str]) -> str | None:
    """The cluster that a request acts in; None: in all of them.

    Raises:
        Forbidden: Its caller has no right there, whether it exists or not.
        NotFound: There is no such cluster, which who may do something in each may know.
        Ambiguous: It does not say which of several.
    """
    allowed = principal.clusters
    seen = [name for name in known if allowed is None or name in allowed]
    if asked.named is not None:
        if asked.named in seen:
            return asked.named
        if allowed is not None:
            raise Forbidden(NOT_ALLOWED)
        raise NotFound(f"cluster {asked.named!r} does not exist; there are: {', '.join(known)}")
    if not seen:
        raise Forbidden(NOT_ALLOWED)
    if len(seen) == 1 or (asked.is_page and not asked.must_name):
        return seen[0]
    if asked.must_name or allowed is not None:
        raise Ambiguous(
            f"there are several clusters: add ?cluster= with one of {', '.join(seen)}", seen
        )
    return None
