"""PromQL of offered loads: what arrives, put together from what an engine counts.

An engine counts a request when it is done, so under overload its counters say what was served. What
arrived is that and the change of what is in the engine. The size of an answer is known only at its
end, so the loads of answers are arrivals times a mean over the requests that finished lately
(`MEAN`): long enough that those still running at its two ends are few beside them.

Where nothing finished lately there is no mean: the load is 0 if nothing arrives, else unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.kernel.domain.presets.promql import Promql, sum_of
from services.kernel.domain.presets.shape import PresetIndicator

MEAN = "30m"
"""Over which requests and tokens are averaged."""
SPEED = "[6h:15m]"
"""Over which the speed of decoding is looked at, in pieces of a quarter of an hour."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """Two counters, the increase of the first over that of the second."""

    of: str
    per: str


@dataclass(frozen=True, slots=True)
class Counted:
    """What a program counts, by one set of its names.

    Attributes:
        promql: How its series are picked.
        arrivals: Counter of requests as they arrive; empty: they are put together.
        refused: Counter of requests that `arrivals` leaves out; empty: none.
        refused_labels: Matchers that pick these.
        queued: Gauge of requests that `arrivals` counts when they leave it; empty: none.
        finished: Counter of requests that are done.
        held: Gauges of requests whose end `finished` has not counted yet.
        unread: Gauges of requests whose input `tokens` has not counted yet.
        tokens: Counter of input tokens.
        cached: Counter of input tokens that a cache of prefixes answered; empty: none.
        is_cached_sparse: `cached` has no series before the first of them.
        input: Input tokens of a request.
        output: Output tokens of a request.
        decode: Seconds of an output token; None: not measured.
    """

    promql: Promql
    finished: str
    held: tuple[str, ...]
    unread: tuple[str, ...]
    tokens: str
    input: Ratio
    output: Ratio
    decode: Ratio | None = None
    arrivals: str = ""
    refused: str = ""
    refused_labels: str = ""
    queued: str = ""
    cached: str = ""
    is_cached_sparse: bool = False

    def arriving(self) -> str:
        """Requests that arrive, per second."""
        if self.arrivals:
            refused = self._rate(self.refused, labels=self.refused_labels)
            found = [
                self._rate(self.arrivals),
                *([refused] if self.refused else []),
                *(self._slopes((self.queued,)) if self.queued else []),
            ]
            return f"clamp_min({sum_of(found)}, 0)" if len(found) > 1 else found[0]
        return f"clamp_min({' + '.join((self._rate(self.finished), *self._slopes(self.held)))}, 0)"

    def input_load(self) -> str:
        """Input tokens that arrive, per second."""
        return self._tokens(self._rate(self.tokens), self._mean(self.input))

    def uncached_load(self) -> str:
        """The same without those that a cache of prefixes answers."""
        hits, hits_lately = self._rate(self.cached), self._rate(self.cached, MEAN)
        if self.is_cached_sparse:
            hits = f"({hits} or 0 * {self._rate(self.tokens)})"
            hits_lately = f"({hits_lately} or 0 * {self._rate(self.tokens, MEAN)})"
        lately = f"({self._rate(self.tokens, MEAN)} - {hits_lately})"
        mean = f"{lately} / {self._rate(self.input.per, MEAN)}"
        return self._tokens(f"{self._rate(self.tokens)} - {hits}", mean)

    def mean_input_load(self) -> str:
        """Input tokens that arrive, where they are counted with the answer: a mean of requests."""
        return self._times(self._mean(self.input))

    def mean_uncached_load(self) -> str:
        """The same without those that a cache of prefixes answers."""
        read = f"{self._rate(self.input.of, MEAN)} - {self._rate(self.cached, MEAN)}"
        return self._times(f"({read}) / {self._rate(self.input.per, MEAN)}")

    def output_load(self) -> str:
        """Output tokens that arriving requests ask for, per second."""
        return self._times(self._mean(self.output))

    def kv_load(self) -> tuple[str, ...]:
        """Tokens that arriving requests would keep in the KV cache if nothing held them up."""
        if self.decode is None:
            return ()
        inputs, outputs = self._mean(self.input), self._mean(self.output)
        pace = f"{self._rate(self.decode.of, '15m')} / {self._rate(self.decode.per, '15m')}"
        unhindered = f"quantile_over_time(0.25, ({pace} >= 0){SPEED})"
        return (self._times(f"({inputs} + {outputs} / 2) * ({outputs}) * {unhindered}"),)

    def _times(self, mean: str) -> str:
        arriving = self.arriving()
        return f"{arriving} * ({mean} >= 0) or {arriving} == 0"

    def _tokens(self, counted: str, mean: str) -> str:
        change = " + ".join(self._slopes(self.unread))
        return f"clamp_min({counted} + (({change}) * ({mean} >= 0) or ({change}) == 0), 0)"

    def _rate(self, metric: str, window: str = "$step", labels: str = "") -> str:
        return f"sum(rate({self._over(metric, window, labels)}))"

    def _slopes(self, gauges: tuple[str, ...]) -> list[str]:
        return [f"sum(deriv({self._over(gauge, '$step')}))" for gauge in gauges]

    def _mean(self, ratio: Ratio) -> str:
        return f"{self._rate(ratio.of, MEAN)} / {self._rate(ratio.per, MEAN)}"

    def _over(self, metric: str, window: str, labels: str = "") -> str:
        return self.promql.of(metric, labels).replace("[$step]", f"[{window}]")


def engine_loads(*named: Counted, needs: str = "") -> tuple[PresetIndicator, ...]:
    """Offered loads of an engine, by the program's newest names first."""
    return (
        _offered("offered_request_rate_rps", "requests/s", [o.arriving() for o in named], needs),
        _offered("offered_input_tokens_per_s", "tokens/s", [o.input_load() for o in named], needs),
        _offered(
            "offered_uncached_tokens_per_s",
            "tokens/s",
            [o.uncached_load() for o in named],
            needs,
            tuple(o.cached for o in named if o.is_cached_sparse),
        ),
        _offered(
            "offered_output_tokens_per_s", "tokens/s", [o.output_load() for o in named], needs
        ),
        _offered("offered_kv_tokens", "tokens", [e for o in named for e in o.kv_load()], needs),
    )


def arrival_loads(*named: Counted, cached_needs: str = "") -> tuple[PresetIndicator, ...]:
    """Offered loads of a program that counts requests as they arrive, mostly a router.

    Args:
        named: What it counts, by its newest names first.
        cached_needs: What must be switched on before it counts what a cache of prefixes answered.
    """
    apart = tuple(metric for one in named for metric in (one.refused, one.queued) if metric)
    loads = (
        ("request_rate_rps", "requests/s", [o.arriving() for o in named] if apart else [], ""),
        ("input_tokens_per_s", "tokens/s", [o.mean_input_load() for o in named], ""),
        (
            "uncached_tokens_per_s",
            "tokens/s",
            [o.mean_uncached_load() for o in named if o.cached],
            cached_needs,
        ),
        ("output_tokens_per_s", "tokens/s", [o.output_load() for o in named], ""),
        ("kv_tokens", "tokens", [e for o in named for e in o.kv_load()], ""),
    )
    return tuple(
        _offered(f"offered_{name}", unit, expressions, needs, apart)
        for name, unit, expressions, needs in loads
        if expressions
    )


def _offered(
    name: str,
    unit: str,
    expressions: Sequence[str],
    needs: str = "",
    optional: tuple[str, ...] = (),
) -> PresetIndicator:
    return PresetIndicator(
        name,
        1,
        unit,
        tuple(dict.fromkeys(expressions)),
        needs,
        counts="arrives",
        is_offered=True,
        optional=tuple(dict.fromkeys(optional)),
    )
