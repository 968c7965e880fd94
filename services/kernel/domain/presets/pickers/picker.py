"""What endpoint pickers report: llm-d's grew out of the Gateway API inference extension's.

A picker stands before the replicas. It counts a request when it sends it on, so one that it refuses
is counted as an error alone, and one that it holds (flow control) only when it lets it go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.kernel.domain.presets.offered import Counted, Ratio, arrival_loads
from services.kernel.domain.presets.promql import PODS, sum_of
from services.kernel.domain.presets.shape import (
    GoalHistogram,
    LossCounter,
    PresetIndicator as Indicator,
)

SLO = "the picker's latency measurement (SLO-aware routing)"
FLOW = "flow control"
_CACHED = "replicas that say what their cache answered (vLLM: --enable-prompt-tokens-details)"
# by the extension and by llm-d; without a replica there is nothing to send a request to
_REFUSED = "InferencePoolResourceExhausted|ResourceExhausted|ServiceUnavailable"
_CLIENTS = "BadRequest|Unauthorized|Forbidden|NotFound|PreconditionFailed"
_REFUSALS = f'error_code=~"{_REFUSED}"'
_FAILURES = f'error_code!~"{_REFUSED}|{_CLIENTS}"'

REQUEST_EDGES_S = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0),
    *(10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 480.0, 600.0),
    *(900.0, 1200.0, 1800.0, 2700.0, 3600.0),
)
TOKEN_EDGES_S = (
    *(0.0005, 0.00205, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.3, 0.4, 0.5),
    *(0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 4.5, 6.0, 12.0, 18.0, 24.0, 30.0, 36.0, 48.0, 60.0, 90.0),
    *(120.0, 180.0, 270.0, 360.0),
)
QUEUE_EDGES_S = (
    *(0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    *(30.0, 60.0),
)


@dataclass(frozen=True, slots=True)
class PickerNames:
    """What a picker calls its metrics, by one version; histograms without their suffixes.

    Attributes:
        requests: Counter of requests that were sent on.
        errors: Counter of requests that failed or were refused, by `error_code`.
        duration: Histogram of whole requests, in seconds.
        ttft: Histogram of times to the first token.
        tpot: Histogram of times per output token of a request.
        inputs: Histogram of input tokens.
        outputs: Histogram of output tokens.
        running: Gauge of requests that were sent on and are not done.
        pool: What names of the pool's means begin with.
        pool_size: Gauge of the pool's replicas.
        flow: What names of flow control begin with; empty: there is none.
        itl: Histogram of times between two tokens; empty: none.
        cached: Histogram of input tokens that a cache of prefixes answered; empty: none.
    """

    requests: str
    errors: str
    duration: str
    ttft: str
    tpot: str
    inputs: str
    outputs: str
    running: str
    pool: str
    pool_size: str
    flow: str
    itl: str = ""
    cached: str = ""

    @property
    def held(self) -> str:
        """Gauge of requests that flow control holds; empty: there is none."""
        return f"{self.flow}_queue_size" if self.flow else ""

    def waiting(self) -> str:
        """Requests in the queues of all replicas and in the picker's own, of those that exist."""
        replicas = (
            f"sum(avg_over_time({PODS.of(f'{self.pool}_average_queue_size')})"
            f" * avg_over_time({PODS.of(self.pool_size)}))"
        )
        return sum_of((replicas, *PODS.sum_mean(self.held))) if self.held else replicas

    def counted(self) -> Counted:
        """What the picker counts: requests as they are sent on, tokens at the end of an answer."""
        return Counted(
            PODS,
            arrivals=self.requests,
            refused=self.errors,
            refused_labels=_REFUSALS,
            queued=self.held,
            finished="",
            held=(),
            unread=(),
            tokens=f"{self.inputs}_sum",
            input=Ratio(f"{self.inputs}_sum", f"{self.inputs}_count"),
            output=Ratio(f"{self.outputs}_sum", f"{self.outputs}_count"),
            decode=Ratio(f"{self.itl}_sum", f"{self.itl}_count") if self.itl else None,
            cached=f"{self.cached}_sum" if self.cached else "",
        )


def picker_indicators(*named: PickerNames, needs: str = "") -> tuple[Indicator, ...]:
    """The indicators of a picker, by its newest names first.

    Args:
        named: Its names.
        needs: What must be switched on before it reports latencies of tokens; empty: nothing.
    """
    itl = [names.itl for names in named if names.itl]
    return (
        Indicator("request_rate_rps", 1, "requests/s", PODS.sum_rate(*(n.requests for n in named))),
        Indicator(
            "input_tokens_per_s",
            1,
            "tokens/s",
            PODS.sum_rate(*(f"{n.inputs}_sum" for n in named)),
            counts="served",
        ),
        Indicator(
            "output_tokens_per_s",
            1,
            "tokens/s",
            PODS.sum_rate(*(f"{n.outputs}_sum" for n in named)),
        ),
        Indicator("latency_p95_ms", 1, "ms", PODS.p95_ms(*(n.duration for n in named))),
        Indicator("ttft_p95_ms", 1, "ms", PODS.p95_ms(*(n.ttft for n in named)), needs),
        Indicator("tpot_p95_ms", 1, "ms", PODS.p95_ms(*(n.tpot for n in named)), needs),
        *([Indicator("itl_p95_ms", 1, "ms", PODS.p95_ms(*itl), needs)] if itl else []),
        Indicator(
            "queue_requests",
            2,
            "requests",
            _each(names.waiting() for names in named),
            optional=_each(names.held for names in named if names.held),
        ),
        Indicator(
            "concurrency_requests", 2, "requests", PODS.sum_mean(*(n.running for n in named))
        ),
        Indicator(
            "kv_cache_ratio",
            2,
            "ratio",
            PODS.mean(*_each(f"{n.pool}_average_kv_cache_utilization" for n in named)),
        ),
        *arrival_loads(*(names.counted() for names in named), cached_needs=_CACHED),
    )


def picker_goals(
    *named: PickerNames,
    ttft_edges_s: tuple[float, ...],
    tpot_edges_s: tuple[float, ...],
    itl_edges_s: tuple[float, ...] = (),
    needs: str = "",
    note: str = "",
) -> tuple[GoalHistogram, ...]:
    """The histograms of a picker, by its newest names first.

    Args:
        named: Its names.
        ttft_edges_s: Bucket edges of the times to the first token, by the newest names.
        tpot_edges_s: Those of the times per output token.
        itl_edges_s: Those of the times between two tokens.
        needs: What must be switched on before it reports these; empty: nothing.
        note: What the time to the first token is of a request that does not stream.
    """
    ttft, tpot = tuple(n.ttft for n in named), tuple(n.tpot for n in named)
    itl = tuple(n.itl for n in named if n.itl)
    waits = tuple(f"{n.flow}_request_queue_duration_seconds" for n in named if n.flow)
    return (
        GoalHistogram("ttft", ttft, ttft_edges_s, needs=needs, note=note),
        GoalHistogram("tpot", tpot, tpot_edges_s, needs=needs),
        *([GoalHistogram("itl", itl, itl_edges_s, needs=needs)] if itl else []),
        GoalHistogram("e2e", tuple(n.duration for n in named), REQUEST_EDGES_S),
        GoalHistogram("queue", waits, QUEUE_EDGES_S, needs=FLOW),
    )


def picker_losses(*named: PickerNames) -> tuple[LossCounter, ...]:
    """Requests that got no answer, by the newest names first; a client's mistakes are none."""
    errors = tuple(names.errors for names in named)
    return (LossCounter("error", errors, _FAILURES), LossCounter("refusal", errors, _REFUSALS))


def _each(texts: Iterable[str]) -> tuple[str, ...]:
    """Each of some texts once."""
    return tuple(dict.fromkeys(texts))
