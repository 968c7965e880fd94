"""Text that others wrote, made harmless."""

from __future__ import annotations

import re

import pytest

from services.kernel.security.printable import ONE_LINE, SOME_LINES, printable, without_escapes

OBEYED = [*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F]
OBEYED += [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]


@pytest.mark.parametrize("code", OBEYED)
def test_what_a_terminal_obeys_is_replaced_and_is_in_no_name(code: int) -> None:
    char = chr(code)
    assert printable(f"a{char}b", 10) == "a?b"
    kept = char in "\n\t"
    assert without_escapes(f"a{char}b") == (f"a{char}b" if kept else "a?b")
    assert re.fullmatch(f"{ONE_LINE}+", f"a{char}b") is None
    assert (re.fullmatch(f"{SOME_LINES}+", f"a{char}b") is not None) == kept


def test_letters_of_any_script_stay() -> None:
    for text in ("Grafana [prod]", "Überwachung", "監視", "مراقبة", "100 €/h"):
        assert printable(text, 100) == without_escapes(text) == text
        assert re.fullmatch(f"{ONE_LINE}+", text)


def test_a_long_text_is_cut() -> None:
    assert printable("a" * 30, 5) == "aaaaa"
