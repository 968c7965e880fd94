"""Callers, their keys and the audit log, as the API takes and returns them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.admin.rest.schemas import Out
from services.admin.rest.times import Instant
from services.kernel.security.keys import Role
from services.kernel.security.printable import ONE_LINE

MAX_GRACE_S = 30 * 86400.0
_NAMESPACE = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=f"^{ONE_LINE}+$")]
Namespaces = Annotated[
    list[Annotated[str, Field(pattern=_NAMESPACE)]], Field(min_length=1, max_length=100)
]
ClusterName = Annotated[str, Field(pattern=r"^(\*|[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)$")]


class GrantView(Out):
    """A role, and where it holds."""

    namespace: str = Field(description="`*`: the whole fleet", examples=["team-a"])
    role: Role = Field(examples=["operator"])
    cluster: str = Field(description="`*`: every cluster", examples=["default"])


class WhoAmI(Out):
    """Who the credential belongs to, and what it allows."""

    name: str = Field(examples=["grafana"])
    actor: str = Field(description="As the audit log names it", examples=["grafana (0123456789)"])
    grants: list[GrantView]
    expires_at: datetime | None = None


class KeyRequest(BaseModel):
    """A key to make."""

    model_config = ConfigDict(extra="forbid")

    name: Name = Field(examples=["grafana"])
    role: Role = Field(examples=["viewer"])
    namespaces: Namespaces | None = Field(
        None, description="Where it has the role; null: in the whole fleet", examples=[["team-a"]]
    )
    cluster: ClusterName | None = Field(
        None,
        description="In which cluster; `*`: in each; null: the caller's, where it is one",
        examples=["default"],
    )
    expires_at: Instant | None = Field(None, examples=["2027-01-01T00:00:00Z"])


class KeyRotation(BaseModel):
    """How a key is replaced."""

    model_config = ConfigDict(extra="forbid")

    grace_s: float = Field(
        86400.0,
        ge=0,
        le=MAX_GRACE_S,
        allow_inf_nan=False,
        description="Seconds for which the old key is still accepted; 0: not any more",
    )


class KeyView(Out):
    """An API key; the secret is never shown again."""

    id: int
    name: str
    prefix: str = Field(description="Public part of the key", examples=["0123456789"])
    role: Role
    namespaces: list[str] | None = Field(description="null: the whole fleet")
    cluster: str = Field(description="`*`: every cluster", examples=["default"])
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    replaced_by: int | None = Field(description="Id of the key that rotation put in its place")


class KeyCreated(KeyView):
    """A key just made, with the token: keep it, it is shown once."""

    token: str = Field(examples=["hk_0123456789_…"])


class AuditView(Out):
    """An entry of the audit chain."""

    id: int
    at: datetime
    actor: str
    action: str
    object: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    hash: str


class AuditCheck(Out):
    """Whether the audit chain is intact."""

    is_intact: bool
    n_entries: int
    first_broken_id: int | None = Field(description="First entry that does not follow")
    head: str | None = Field(
        description="`<id>:<hash>` of the newest entry; keep it elsewhere, and give it back as "
        "`anchor`: an end that was cut off since then lacks it",
        examples=["42:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    is_anchored: bool | None = Field(
        description="Whether the anchor is in the chain; null: none was given"
    )
