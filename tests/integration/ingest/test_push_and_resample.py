"""Pushed samples become indicators: complete steps, late samples, gaps, one forecast per origin."""

from __future__ import annotations

from datetime import timedelta

import orjson
import pytest

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.kernel import jobs
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from tests.integration.ingest.conftest import Register, stored_steps

pytestmark = pytest.mark.integration
RATE, TOKENS, HEAT = "request_rate_rps", "output_tokens_per_s", "gpu_temperature_c"


def body(*series: tuple[str, str, list[object]]) -> bytes:
    return orjson.dumps(
        {
            "observations": [
                {"namespace": "shop", "workload": workload, "indicator": name, "samples": samples}
                for workload, name, samples in series
            ]
        }
    )


def test_a_step_flows_to_a_forecast(
    deps: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    (workload_id,) = register()
    t0 = clock.now().timestamp()
    samples = [[t0 + 15 * n, 10.0 + n] for n in range(4)]
    counter = [[t0 + 15 * n, 600.0 * n] for n in range(1, 5)]
    clock.advance(60)
    result = service.push(deps, body(("w0", RATE, samples), ("w0", TOKENS, counter)))
    assert (result.n_accepted, result.rejected) == (8, ())
    assert [job.name for job in sender.sent] == [jobs.INGEST_RESAMPLE]
    done = service.resample_shard(deps, 0, clock.now())
    origin_at = clock.now() - timedelta(seconds=60)
    assert done.origins == (origin_at,)
    assert sender.sent[-1] == jobs.shard_job(jobs.FORECAST_SHARD, 0, origin_at)
    assert stored_steps(deps.engine, workload_id, RATE) == [(origin_at, 11.5)]
    assert stored_steps(deps.engine, workload_id, TOKENS) == [(origin_at, 40.0)]
    assert stored_steps(deps.engine, workload_id, HEAT) == [(origin_at, None)]
