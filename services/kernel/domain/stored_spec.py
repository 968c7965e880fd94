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
    return known_spec(orjson.loads(stored))


def known_spec(stored: object) -> WorkloadSpec:
    """A spec from the JSON of its row, as far as this release knows it.

    Who writes a row is of a later release while an upgrade is under way, or after one was taken
    back: fields that this release does not know are left out, with what they ask for.
    """
    return WorkloadSpec.model_validate(stored, extra="ignore")
