"""Shapes of the push API's answers and requests, for OpenAPI."""

from __future__ import annotations

from pydantic import BaseModel, Field


class RejectedSamples(BaseModel):
    """Samples that were refused for one reason."""

    reason: str = Field(description="Stable word, listed in the push API's description")
    count: int = Field(ge=1)
    example: str = Field(description="The first of them, and what would be right")


class PushAnswer(BaseModel):
    """Outcome of a push."""

    accepted: int = Field(ge=0, description="Samples stored (a repeated sample counts)")
    rejected: list[RejectedSamples]


class PushedSeries(BaseModel):
    """Samples of one indicator of one workload."""

    namespace: str
    workload: str
    indicator: str
    samples: list[tuple[float | str, float | str | None]] = Field(
        description="[time, value]: epoch seconds or RFC 3339 with an offset; a number, or the "
        'strings "NaN", "+Inf", "-Inf" (refused, and counted)',
    )


class PushRequest(BaseModel):
    """Body of `POST /v1/observations` (documentation; the parser is in `translate`)."""

    observations: list[PushedSeries]

    model_config = {
        "json_schema_extra": {
            "example": {
                "observations": [
                    {
                        "namespace": "shop",
                        "workload": "llama",
                        "indicator": "request_rate_rps",
                        "samples": [[1767571200, 41.5], ["2026-01-05T00:00:15Z", 42.25]],
                    }
                ]
            }
        }
    }
