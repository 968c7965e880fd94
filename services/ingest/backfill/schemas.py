"""Shapes of a back-fill, for OpenAPI and for its answer."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from services.ingest.push.schemas import RejectedSamples


class HistoryRequest(BaseModel):
    """Body of `POST /v1/workloads/{namespace}/{name}/history` (the parser is in `body`)."""

    indicators: dict[str, list[tuple[float | str, float | str | None]]] = Field(
        description="By indicator of the workload's spec [time, value] pairs. Time: epoch seconds "
        "or RFC 3339 with an offset. Value: in the indicator's unit; of a counter its rate per "
        "second"
    )

    model_config = {
        "json_schema_extra": {
            "example": {
                "indicators": {
                    "output_tokens_per_s": [
                        ["2026-01-05T00:00:00Z", 41500.0],
                        ["2026-01-05T00:01:00Z", 43250.0],
                    ]
                }
            }
        }
    }


CSV_EXAMPLE = (
    "time,output_tokens_per_s,queue_requests\n"
    "2026-01-05T00:00:00Z,41500,3\n"
    "2026-01-05T00:01:00Z,43250,\n"
)


class HistoryAnswer(BaseModel):
    """What became of a back-fill; values are those of steps, the mean of their samples."""

    accepted: int = Field(ge=0, description="Samples that could be used")
    first_step_at: datetime | None = Field(description="First step with a value; null: none")
    last_step_at: datetime | None = Field(description="Last step with a value; null: none")
    written: int = Field(ge=0, description="Values of steps that had none")
    unchanged: int = Field(ge=0, description="Values that are stored as they were sent")
    replaced: int = Field(ge=0, description="Stored values that others took the place of")
    kept: int = Field(
        ge=0, description="Stored values that differ from what was sent, and stay as they are"
    )
    kept_example: str | None = Field(description="The first of them, and how to replace it")
    rejected: list[RejectedSamples]
