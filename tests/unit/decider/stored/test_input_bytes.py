"""The container of inputs: small, and what was written once stays readable."""

from __future__ import annotations

import hashlib
import json
import zlib

import numpy as np
import pytest
from safetensors.numpy import save

from decider.errors import ReplayMismatch
from decider.stored.input_bytes import DICTIONARY, FORMAT, pack, smallest, unpack, unpacked

HEADER = {"format": FORMAT, "now_s": 3.5, "workload": {"workload": "prod/chat"}}
ARRAYS = {"demand": np.array([1.5, 2.5], np.float32)}


def test_a_header_and_arrays_come_back() -> None:
    header, arrays = unpack(pack(HEADER, ARRAYS))
    assert header == HEADER
    np.testing.assert_array_equal(arrays["demand"], [1.5, 2.5])
    assert arrays["demand"].dtype == np.float64


def test_the_dictionary_never_changes() -> None:
    """Stored inputs are read with it: another one makes every one of them unreadable."""
    digest = hashlib.sha256(DICTIONARY).hexdigest()
    assert digest == "8275e69ab86efb67804056ea58845b1f7da2855487e1e5c5d635ed8c4dfe2f72"


def test_without_the_dictionary_the_bytes_cannot_be_read() -> None:
    with pytest.raises(zlib.error):
        zlib.decompress(pack(HEADER, ARRAYS))


def test_what_was_written_without_the_dictionary_is_read() -> None:
    blob = save(ARRAYS, metadata={"header": json.dumps(HEADER | {"format": 2})})
    header, _ = unpack(zlib.compress(blob, 1))
    assert header["format"] == 2
    assert unpacked(zlib.compress(blob, 1)) == blob


@pytest.mark.parametrize("blob", [b"", b"nonsense", pack(HEADER, ARRAYS)[:-9]])
def test_what_is_not_whole_is_a_named_error(blob: bytes) -> None:
    with pytest.raises(ReplayMismatch, match="not a decision's inputs"):
        unpack(blob)


@pytest.mark.parametrize(
    ("value", "dtype"), [(0.5, np.float16), (0.1 + 2**-40, np.float64), (1 + 2**-20, np.float32)]
)
def test_arrays_are_narrowed_where_nothing_is_lost(value: float, dtype: type) -> None:
    narrow = smallest(np.array([value, np.nan]))
    assert narrow.dtype == dtype
    assert narrow[0] == value
