"""The measurement sends over HTTP and finds in SQL what it has sent."""

from __future__ import annotations

import os
import shutil

import pytest

from services.kernel.settings import Settings
from services.lab.bench.ingest.bodies import PROTOCOLS
from services.lab.bench.ingest.run import IngestOptions, run_ingest
from services.platform.embedded_servers import data_folder

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_sent_is_stored(protocol: str, given_settings: Settings) -> None:
    settings = given_settings.model_copy(update={"database_url": "", "redis_url": ""})
    options = IngestOptions(protocol, 40, 3, n_requests=4, n_workloads=10)
    name = f"test-bench-{protocol}-{os.getpid()}"
    try:
        found = run_ingest(options, settings, name, lambda _: None)
    finally:
        shutil.rmtree(data_folder(settings, name), ignore_errors=True)
    assert found["sent"] == found["accepted"] == found["stored"] == 6 * 40 * 3
    assert (found["duplicates"], found["rejected"]) == (0, {})
    assert found["is_stored_as_sent"]
    assert found["per_s_and_core"] > 0
    assert found["bare_copy"]["per_s_and_core"] > 0
