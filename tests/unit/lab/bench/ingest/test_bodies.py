"""Requests of the measurement are read as what they were made of."""

from __future__ import annotations

import numpy as np
import pytest

from services.ingest.remote_write.claims import Mapping
from services.ingest.remote_write.mapped import to_parsed
from services.ingest.remote_write.protocol import Version, decode
from services.ingest.remote_write.wire import RequestLimits
from services.ingest.series.owners import SeriesOwners
from services.ingest.series.rules import DEFAULT_RULES
from services.ingest.series.samples import from_us
from services.ingest.series.translate import ParsedPush, parse_push
from services.lab.bench.ingest.bodies import PROTOCOLS, Batch, Sender
from services.lab.bench.ingest.repository import INDICATORS, NAMESPACE

AT_MS = 1_767_571_200_123
BATCH = Batch(np.array([9, 0]), np.array([AT_MS, AT_MS + 1]), np.array([[1.5, 0.0], [3.0, 4.25]]))


def read(protocol: str, body: bytes) -> ParsedPush:
    if protocol == "push":
        return parse_push(body, 100)
    request = decode(body, Version.V1, RequestLimits(10_000, 100))
    now = from_us((AT_MS + 5) * 1000)
    return to_parsed(request, Mapping(DEFAULT_RULES, SeriesOwners()), now)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_request_says_what_its_batch_holds(protocol: str) -> None:
    parsed = read(protocol, Sender(protocol).body(BATCH))
    assert parsed.names == (
        (NAMESPACE, "service-1", INDICATORS[1]),
        (NAMESPACE, "service-0", INDICATORS[0]),
    )
    assert parsed.samples.series.tolist() == [0, 0, 1, 1]
    assert parsed.samples.value.tolist() == [1.5, 0.0, 3.0, 4.25]
    assert (parsed.samples.at_us // 1000).tolist() == [AT_MS, AT_MS + 1] * 2
    assert parsed.rejections.n_rejected == 0
