"""The examples of the document are read as it says."""

from __future__ import annotations

import json

from services.ingest.backfill.body import parse_csv, parse_json
from services.ingest.backfill.schemas import CSV_EXAMPLE, HistoryRequest
from services.ingest.series.catalog import WorkloadName

LLAMA = WorkloadName("prod", "llama")


def test_the_examples_can_be_sent_as_they_are() -> None:
    example = HistoryRequest.model_json_schema()["example"]
    HistoryRequest.model_validate(example)
    for parsed in (
        parse_json(json.dumps(example).encode(), LLAMA, 10),
        parse_csv(CSV_EXAMPLE.encode(), LLAMA, 10),
    ):
        assert parsed.rejections.n_rejected == 0
        assert parsed.samples.at_us.tolist()[:2] == [1767571200 * 10**6, 1767571260 * 10**6]
        assert parsed.samples.value.tolist()[:2] == [41500.0, 43250.0]
