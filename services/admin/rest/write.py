"""Parts of routes that write: the caller, the headers that tell a repetition, the answer."""

# Annotations are values here, not text: those of `_caller` name its argument.
import hashlib
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from services.admin.identity.auth import Require, Scope, require
from services.admin.rest.change import Answer, Caller
from services.kernel.security.keys import Principal, Role

_Value = TypeVar("_Value")
ETAG_HEADER: dict[str, Any] = {
    "headers": {
        "ETag": {"description": "Send it as `If-Match`", "schema": {"type": "string"}},
    }
}

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="A repetition with the same key and body gets the first answer, for a day",
        examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ),
]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=200,
        description="ETag of what was read; `*` whatever is there",
        examples=['"3"'],
    ),
]


async def request_hash(request: Request) -> bytes:
    """Hash by which requests are told apart: of method, path, query and body."""
    digest = hashlib.sha256()
    for part in (request.method, request.url.path, request.url.query):
        digest.update(part.encode() + b"\n")
    digest.update(await request.body())
    return digest.digest()


def _caller(need: Require) -> Any:
    async def dependency(
        principal: Annotated[Principal, Depends(need)],
        digest: Annotated[bytes, Depends(request_hash)],
        key: IdempotencyKey = None,
    ) -> Caller:
        return Caller(principal, key, digest)

    return dependency


ViewerWrites = Annotated[Caller, Depends(_caller(require(Role.VIEWER, Scope.OWN)))]
OperatorWrites = Annotated[Caller, Depends(_caller(require(Role.OPERATOR)))]
OwnOperatorWrites = Annotated[Caller, Depends(_caller(require(Role.OPERATOR, Scope.OWN)))]
OwnApproverWrites = Annotated[Caller, Depends(_caller(require(Role.APPROVER, Scope.OWN)))]
AdminWrites = Annotated[Caller, Depends(_caller(require(Role.ADMIN)))]


def respond(answer: Answer) -> Response:
    """The HTTP response of a write."""
    headers = dict(answer.headers)
    if answer.body is None:
        return Response(status_code=answer.status, headers=headers)
    body = answer.body
    content = body.model_dump(mode="json") if isinstance(body, BaseModel) else body
    return JSONResponse(content, answer.status, headers)


def tagged(response: Response, value: _Value, etag: str) -> _Value:
    """The value of a read; its ETag goes into the response's header."""
    response.headers["ETag"] = etag
    return value
