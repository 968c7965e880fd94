"""Signals that end a platform in order."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from services.platform.stop_signals import (
    ending_on_signals,
    stop_signals_deferred,
)


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
    # these tests may run where it is ignored, as by `nohup`
    before = signal.signal(word, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as ended, ending_on_signals():
            signal.raise_signal(word)
    finally:
        signal.signal(word, before)
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


def test_a_stop_signal_waits_for_the_end_of_a_start() -> None:
    done = []

    def interrupted() -> None:
        with stop_signals_deferred():
            signal.raise_signal(signal.SIGINT)
            done.append("the start was finished and noted")

    # a test run in the background inherits SIGINT as ignored
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, inherited)
    assert done == ["the start was finished and noted"]
