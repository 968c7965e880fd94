"""Two pods of vLLM under uneven load, as a Prometheus has scraped them.

Metrics, labels and bucket edges are those of a real page. Scrapes every 15 s, 5 s after the full
minute and so on. Pod `chat-0` restarts 320 s after `T0`; `chat-1` is seen last 275 s after it and
serves for 15 s more. No scrapes from 600 to 720 s, no requests from 900 to 1200 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from tests.contract.ingest.prometheus_world import T0_S
from tests.unit.kernel.domain.presets.scraped import PAGES, edges, fit

METRIC = "vllm:time_to_first_token_seconds"
STEP_S, SCRAPE_S = 60, 15
FIRST_S, LAST_S = -1800, 1500
RESTART_S, VANISH_S, SILENT_S, IDLE_S = 320, 290, range(600, 720), range(900, 1200)
SCRAPES_S = tuple(at_s for at_s in range(FIRST_S + 5, LAST_S, SCRAPE_S) if at_s not in SILENT_S)
EDGES_S = edges(fit("vllm", "vllm"), "ttft")


@dataclass(frozen=True)
class Pod:
    """A pod, the requests that it served, and when it was scraped.

    Attributes:
        name: Its name.
        at_s: When each request was observed, seconds from `T0`, (N,).
        ttft_s: Time to its first token, (N,).
        scrapes_s: When it was scraped.
        restart_s: When its counters began anew.
    """

    name: str
    at_s: np.ndarray
    ttft_s: np.ndarray
    scrapes_s: tuple[int, ...]
    restart_s: float = LAST_S

    def within(self, edge_s: float) -> np.ndarray:
        """Times of the requests at or below an edge."""
        return self.at_s[self.ttft_s <= edge_s]

    def reading(self, edge_s: float, scrape_s: int) -> int:
        """What its counter of an edge shows at a scrape."""
        began_s = self.restart_s if scrape_s >= self.restart_s else FIRST_S
        seen = self.within(edge_s)
        return int(np.count_nonzero((seen > began_s) & (seen <= scrape_s)))

    def rise(self, edge_s: float, step: int) -> tuple[int, int]:
        """Requests seen between the scrapes in a step, and seconds between the outer ones."""
        inside = [at_s for at_s in self.scrapes_s if 0 < at_s - step * STEP_S <= STEP_S]
        if len(inside) < 2:
            return 0, 0
        readings = [self.reading(edge_s, at_s) for at_s in inside]
        pairs = pairwise(readings)
        rise = sum(new - old if new >= old else new for old, new in pairs)
        return rise, inside[-1] - inside[0]


@cache
def pods() -> tuple[Pod, ...]:
    """The two pods."""
    rng = np.random.default_rng(7)
    found = []
    for name, rate_rps, until_s in (("chat-0", 3.0, LAST_S), ("chat-1", 2.0, VANISH_S)):
        gaps = rng.exponential(1 / rate_rps, size=round(3 * rate_rps * (until_s - FIRST_S)))
        at_s = FIRST_S + np.cumsum(gaps * (1 + 0.5 * np.sin(np.arange(len(gaps)) / 90)))
        kept = (at_s < until_s) & ~((at_s >= IDLE_S.start) & (at_s < IDLE_S.stop))
        ttft_s = rng.lognormal(np.log(0.3), 0.8, size=len(at_s))
        scrapes = tuple(scrape_s for scrape_s in SCRAPES_S if scrape_s < until_s - 14)
        restart_s = RESTART_S if name == "chat-0" else LAST_S
        found.append(Pod(name, at_s[kept], ttft_s[kept], scrapes, restart_s))
    return tuple(found)


def open_metrics() -> str:
    """The scrapes of both pods."""
    assert f'{METRIC}_bucket{{engine="0",le="0.5"' in (PAGES / "vllm.txt").read_text()
    labels = 'namespace="shop",pod="{}",engine="0",model_name="Qwen/Qwen3-0.6B"'
    lines = []
    for edge_s in (*EDGES_S, np.inf):
        lines.append(f"# TYPE {METRIC}_bucket unknown" if edge_s == EDGES_S[0] else "")
        for pod in pods():
            le = "+Inf" if np.isinf(edge_s) else f"{edge_s}"
            name = f'{METRIC}_bucket{{{labels.format(pod.name)},le="{le}"}}'
            lines += [f"{name} {pod.reading(edge_s, s)} {T0_S + s}" for s in pod.scrapes_s]
    for pod in pods():
        name = f"{METRIC}_count{{{labels.format(pod.name)}}}"
        lines += [f"{name} {pod.reading(np.inf, s)} {T0_S + s}" for s in pod.scrapes_s]
    return "\n".join([*filter(None, lines), "# EOF", ""])


def query(metric: str, matcher: str = "") -> str:
    """A rate over all pods and exactly one step, as a preset asks for it."""
    return f'sum(rate({METRIC}_{metric}{{namespace="shop",pod=~"chat-.*"{matcher}}}[$step]))'
