"""What counts of replicas are expected to miss, in the words of the promise."""

from __future__ import annotations

from services.admin.decisions.schemas import DecisionDetail, ExpectedShare
from services.admin.rest.formats import percent

_TOLD_FROM = 0.0005
"""A smaller share that misses at any count is not told."""
_WORDS = {
    "requests": ("of requests", "would wait longer than the objective allows, or fail"),
    "minutes": ("of minutes", "would be bad (too few of their requests within the objective)"),
}


def explain_misses(detail: DecisionDetail) -> str:
    """One sentence on the count that runs, the decided one and its neighbours; empty: not known.

    `8 replicas: 3.1 % of requests would wait longer than the objective allows, or fail; 10: 0.6 %;
    beside these 0.8 % at any count`.
    """
    misses = detail.expected_misses
    if misses is None:
        return ""
    current, final = detail.current_replicas, detail.desired_replicas
    told = {current, final - 1, final, final + 1}
    shares = [one for one in misses.by_replicas if one.replicas in told]
    if not shares:
        return ""
    of, ending = _WORDS[misses.of]
    first, *others = shares
    noun = "1 replica" if first.replicas == 1 else f"{first.replicas} replicas"
    words = [f"{noun}: {percent(first.share)} {of} {ending}", *map(_short, others)]
    if misses.floor is not None and misses.floor >= _TOLD_FROM:
        words.append(f"beside these {percent(misses.floor)} at any count")
    return "; ".join(words)


def _short(one: ExpectedShare) -> str:
    return f"{one.replicas}: {percent(one.share)}"
