"""Signals that end a platform in order."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from services.platform.up import ending_on_signals


@pytest.fixture(autouse=True)
def _handlers_stay() -> Iterator[None]:
    words = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {word: signal.getsignal(word) for word in words}
    yield
    after = {word: signal.getsignal(word) for word in words}
    for word, handler in before.items():
        signal.signal(word, handler)
    assert after == before


@pytest.mark.parametrize("word", [signal.SIGTERM, signal.SIGHUP])
def test_a_stop_or_a_closed_terminal_ends_in_order(word: signal.Signals) -> None:
    signal.signal(word, signal.SIG_DFL)  # these tests may run where it is ignored, as by `nohup`
    with pytest.raises(SystemExit) as ended, ending_on_signals():
        signal.raise_signal(word)
    assert ended.value.code == 128 + word


def test_ctrl_c_ends_also_where_it_was_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), ending_on_signals():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_was_told_to_outlive_its_terminal_does() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_on_signals():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
