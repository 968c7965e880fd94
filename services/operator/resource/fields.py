"""What the custom resources are written with: their group, scalars with units, the base model."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
)
from pydantic.alias_generators import to_camel

from services.operator.resource.quantities import (
    DECIMAL_PATTERN,
    DURATION_PATTERN,
    format_decimal,
    format_duration,
    parse_decimal,
    parse_duration_s,
)

GROUP = "scaling.harmony.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

Duration = Annotated[
    float,
    BeforeValidator(parse_duration_s),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "maxLength": 32}),
]
"""Seconds, spelled with a unit (`5m`)."""

Decimal = Annotated[
    float,
    BeforeValidator(parse_decimal),
    PlainSerializer(format_decimal),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": DECIMAL_PATTERN}),
]
"""A decimal: a string, or a whole number. A structural schema has no type that admits both strings
and fractions; Kubernetes' own answer, which this follows, is to write fractions as strings."""

Name = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]


def _of_one_type(name: str) -> str:
    """A type's name; `*` stands for all others where budgets are kept."""
    if "*" in name:
        raise ValueError(
            f"{name!r} must name one type as GPUAutoscalers do, without *; make a GPUBudget for "
            "each type"
        )
    return name


BudgetedType = Annotated[str, Field(min_length=1, max_length=63), AfterValidator(_of_one_type)]


class ResourceModel(BaseModel):
    """A piece of a custom resource; unknown fields are pruned, as the API server does."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _has_no_nul(cls, value: Any) -> Any:
        """Refuse NUL in texts: the API server takes it, and Postgres keeps it in none."""
        parts = value if isinstance(value, list) else (value,)
        if any(isinstance(part, str) and "\0" in part for part in parts):
            raise ValueError("must not contain the character NUL (\\u0000)")
        return value

    def to_manifest(self) -> dict[str, Any]:
        """The fields as they are written in YAML, without what was left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
