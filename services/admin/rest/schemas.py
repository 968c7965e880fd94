"""Values that all routes take and return. Times are RFC 3339 in UTC; names carry their units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from services.kernel.security.printable import SOME_LINES

Reason = Annotated[str, Field(max_length=500, pattern=f"^{SOME_LINES}*$")]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]
FreezeDirection = Literal["ScaleDown", "Both"]


class In(BaseModel):
    """A value that the API takes; unknown fields are refused, and true for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and info.field_name is not None:
            taken = set(_types_of(cls.model_fields[info.field_name].annotation))
            if bool not in taken and taken & {int, float}:
                raise ValueError("must be a number, not true or false")
        return value


def _types_of(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of."""
    inner = get_args(annotation)
    if not inner:
        yield annotation
    for each in inner:
        yield from _types_of(each)


Item = TypeVar("Item")


class Out(BaseModel):
    """A value that the API returns."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Problem(Out):
    """An error (RFC 9457). `code` is stable; the codes are listed in docs/errors.md."""

    type: str = Field(examples=["https://harmony.dev/problems/not_found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    code: str = Field(examples=["not_found"])
    detail: str = Field(examples=["workload prod/llama does not exist"])
    errors: list[dict[str, str]] | None = None


class Page(Out, Generic[Item]):
    """One page of a list; `next_cursor` is null on the last one."""

    items: list[Item]
    next_cursor: str | None = Field(None, description="Give it back as `cursor` for the next page")


class Health(Out):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Out):
    """What the service needs is there."""

    status: Literal["ready"] = "ready"
    checks: dict[str, str] = Field(examples=[{"database": "ok", "redis": "ok", "schema": "0001"}])
