"""What routes that write share: who writes, how a repetition is known, and how it is answered."""

# Annotations are values here, not text: those of `_caller` name its argument.
import hashlib
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from services.admin.decisions.schemas import Problem
from services.admin.identity.auth import PROBLEMS, Require, Scope, require
from services.admin.rest.change import Answer, Caller
from services.kernel.security.keys import Principal, Role

_PROBLEM_CONTENT = {"application/problem+json": {"schema": Problem.model_json_schema()}}

WRITE_PROBLEMS: dict[int | str, dict[str, Any]] = PROBLEMS | {
    412: {"description": "`If-Match` names another version", "content": _PROBLEM_CONTENT},
}
UPDATE_PROBLEMS: dict[int | str, dict[str, Any]] = WRITE_PROBLEMS | {
    428: {"description": "`If-Match` is missing", "content": _PROBLEM_CONTENT},
}
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
    """What tells one request from another: method, path, query and body."""
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


def tagged(response: Response, found: tuple[Any, str]) -> Any:
    """The value of a read, with its ETag in the response's header."""
    value, etag = found
    response.headers["ETag"] = etag
    return value
