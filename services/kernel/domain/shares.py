"""Shares that people state: of time or requests that a promise allows, or that keep the goals.

A share so close to 0 or 1 that it means one of them is refused: what is reckoned with it divides
by it, and no fleet lives for as long as it would take to tell the difference.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

LEAST, MOST = "0.000000001", "0.999999999"
"""As they are written: no float stands between them and 0 or 1 that anybody could mean."""
SHARE_RULE = f"must be between 0 and 1 ({LEAST} to {MOST})"


def is_share(value: float) -> bool:
    """Whether a share may be stated; what is no number may not."""
    return float(LEAST) <= value <= float(MOST)


def _checked(value: float) -> float:
    if not is_share(value):
        kind = "greater_than" if value <= 0.5 else "less_than"
        raise PydanticCustomError(kind, "{value} {rule}", {"value": value, "rule": SHARE_RULE})
    return value


ShareCheck = AfterValidator(_checked)
Share = Annotated[
    float,
    ShareCheck,
    Field(json_schema_extra={"minimum": float(LEAST), "maximum": float(MOST)}),
]
