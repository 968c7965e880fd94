"""JSON whose objects name each key once; without the web framework, which workers do not load.

Of two values of one key every reader of JSON silently takes the last (RFC 8259, 4): a script that
writes `{"replicas": 3, "replicas": 30}` would scale by a figure that nobody looked at.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import orjson

from services.kernel.errors import BadRequest

_KEY, _KEY_END = b'":', re.compile(rb'"\s*:')


def read_json(body: bytes) -> Any:
    """What JSON holds, NaN and Infinity among it.

    Raises:
        BadRequest: A key is given twice in one object.
        ValueError: It is no JSON.
    """
    return json.loads(body, object_pairs_hook=_once)


def check_keys(body: bytes, content: object) -> None:
    """Check a body that was read by a faster reader, which told nothing of repeated keys.

    What looks like a key's end is counted in the body, and in its content as it would be written:
    only where these differ it is read again. Neither takes a call per sample.

    Raises:
        BadRequest: A key is given twice in one object.
    """
    # no body of ours nests too deep for either: its shape is refused
    with suppress(RecursionError, orjson.JSONEncodeError):
        if len(_KEY_END.findall(body)) != orjson.dumps(content).count(_KEY):
            read_json(body)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = [name for name, _ in pairs]
    twice = next(name for name in names if names.count(name) > 1)
    raise BadRequest(f"body: key {twice[:60]!r} is given {names.count(twice)} times; give it once")
