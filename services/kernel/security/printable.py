"""Text that others wrote, made harmless for whoever reads it in a terminal, a log or a table.

A terminal obeys escapes (clear the screen, move the cursor, write to the clipboard, show a link
under another name), and marks of direction make a line read otherwise than it is.
"""

from __future__ import annotations

import re

HIDDEN = r"\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""In a class of characters: delete, the control characters of C1, and marks of direction."""
ONE_LINE = rf"[^\x00-\x1f{HIDDEN}]"
"""Pattern of a character that may stand in a name."""
SOME_LINES = rf"[^\x00-\x08\x0b-\x1f{HIDDEN}]"
"""Pattern of a character that may stand in a text of several lines."""
_ESCAPES = re.compile(rf"[\x00-\x08\x0b-\x1f{HIDDEN}]")


def printable(text: str, longest: int) -> str:
    """`text` on one line of at most `longest` characters; `?` stands for what cannot be seen."""
    return "".join(char if char.isprintable() else "?" for char in text)[:longest]


def without_escapes(text: str) -> str:
    """`text` with its line ends and tabs; `?` stands for what a terminal would obey."""
    return _ESCAPES.sub("?", text)
