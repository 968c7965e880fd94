"""Specs as they are stored, read once in each process."""

from __future__ import annotations

from functools import lru_cache

import orjson

from services.kernel.domain.workload import WorkloadSpec

MOST_KEPT = 16_384
"""Specs that a process keeps, some 5 KB each; the one asked for longest ago goes first."""


@lru_cache(maxsize=MOST_KEPT)
def read_spec(stored: str) -> WorkloadSpec:
    """A spec from its JSON text (`spec::text`), checked when the text is first met.

    The text itself is the key: whatever changes a spec changes it, in whichever database it stands.
    """
    return WorkloadSpec.model_validate(orjson.loads(stored))
