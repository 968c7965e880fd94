"""What the tests of ingest push, and what comes of it."""

from __future__ import annotations

from datetime import datetime

import orjson

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.push.service import push

RATE, TOKENS, HEAT = "request_rate_rps", "output_tokens_per_s", "gpu_temperature_c"
T0 = datetime.fromisoformat("2026-01-05T00:00:00Z")


def body(*series: tuple[str, str, list[object]]) -> bytes:
    """The body of a push."""
    return orjson.dumps(
        {
            "observations": [
                {"namespace": "shop", "workload": workload, "indicator": name, "samples": samples}
                for workload, name, samples in series
            ]
        }
    )


def at_s(offset_s: float) -> float:
    """Epoch seconds of a time after `T0`."""
    return T0.timestamp() + offset_s


def push_rate(deps: IngestDeps, *points: tuple[float, float], workload: str = "w0") -> None:
    """Push (seconds after `T0`, value) points of the rate, all of which are taken."""
    samples = [[at_s(offset_s), value] for offset_s, value in points]
    result = push(deps, body((workload, RATE, samples)))
    assert result.n_accepted == len(points)


def resample(deps: IngestDeps) -> service.ResampleResult:
    """Resample shard 0 up to now."""
    return service.resample_shard(deps, 0, deps.clock.now())
