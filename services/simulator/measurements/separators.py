"""Finds out which sign of a number's text is the point, and which only parts thousands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from services.simulator.fleet.trace_metadata import TraceError

_EXPONENT = "(?:[eE][-+]?[0-9]+)?"
_NUMBER = f"^[-+]?[0-9.,]*[0-9][0-9.,]*{_EXPONENT}$"
_UNMEASURED = r"^(?i:[-+]?(nan|inf|infinity))$"
_BOTH = r"\..*,|,.*\.|\..*\.|,.*,"
"""Two signs in one number: one of them parts thousands, and it shows which."""


@dataclass(frozen=True, slots=True)
class _Style:
    """One way to write numbers."""

    point: str
    between_thousands: str

    @property
    def plain(self) -> str:
        """Numbers without anything between their thousands."""
        point = re.escape(self.point)
        return f"^[-+]?(?:[0-9]+{point}?[0-9]*|{point}[0-9]+){_EXPONENT}$"

    @property
    def grouped(self) -> str:
        """Numbers with a sign between their thousands."""
        between, point = re.escape(self.between_thousands), re.escape(self.point)
        return f"^[-+]?[1-9][0-9]{{0,2}}(?:{between}[0-9]{{3}})+(?:{point}[0-9]*)?$"

    def number_of(self, text: str) -> str:
        """The text as this project writes numbers."""
        return text.replace(self.between_thousands, "").replace(self.point, ".")


ENGLISH = _Style(".", ",")
GERMAN = _Style(",", ".")
_LONG_WITHOUT = "^[-+]?[0-9]{4}"


@dataclass(frozen=True, slots=True)
class _Column:
    """What the texts of a column may be.

    Attributes:
        styles: The ways in which all of them can be read.
        example: The first with a sign in it; None: none has one.
        row: Its row, from 1 on.
        has_whole: Some have no sign.
    """

    styles: tuple[_Style, ...]
    example: str | None
    row: int
    has_whole: bool

    @property
    def is_certain(self) -> bool:
        """There is one way to read it, and it has a sign that says so."""
        return self.example is not None and len(self.styles) == 1


def numbers_of(
    texts: Mapping[str, pa.ChunkedArray], label: str, *, has_points: bool = False
) -> tuple[dict[str, pa.ChunkedArray], tuple[str, ...]]:
    """Columns that hold numbers with signs in them, as numbers, and how they were read.

    A column that could be read in two ways follows the others of its file, where these are certain.

    Args:
        texts: Name -> the texts of a column that may hold numbers; null where there is none.
        label: What the table is called, for messages.
        has_points: Another column of the file is known to have points in its numbers.

    Raises:
        TraceError: `1.184` may be a thousand or one: nothing in the file tells.
    """
    found = {name: _looked_at(column) for name, column in texts.items()}
    certain = {one.styles[0] for one in found.values() if one.is_certain}
    certain |= {ENGLISH} if has_points else set()
    style_of = {}
    for name, one in found.items():
        if one.example is not None and one.styles:
            style_of[name] = _style(name, one, certain, label)
    numbers = {name: _converted(texts[name], style) for name, style in style_of.items()}
    return numbers, _said(texts, style_of)


def _style(name: str, column: _Column, certain: set[_Style], label: str) -> _Style:
    if len(column.styles) == 1:
        return column.styles[0]
    assert column.example is not None
    (style, *others) = certain or (None,)
    makes_parts = style is not None and style.point in column.example and column.has_whole
    if style is not None and not others and not makes_parts:
        return style
    whole = re.sub("[.,]", "", column.example)
    part = column.example.replace(",", ".")
    raise TraceError(
        f"{label}: column {name!r}, row {column.row}: {column.example} may be {whole} or {part}; "
        f"write {whole} or {part}0"
    )


def _looked_at(column: pa.ChunkedArray) -> _Column:
    signs = pc.fill_null(pc.match_substring_regex(column, "[.,]"), False)
    row = pc.index(signs, True).as_py()
    if row < 0:
        return _Column((), None, 0, True)
    known = column.drop_null()
    known = known.filter(pc.invert(pc.match_substring_regex(known, _UNMEASURED)))
    is_number = pc.all(pc.match_substring_regex(known, _NUMBER)).as_py()
    styles = tuple(s for s in (ENGLISH, GERMAN) if is_number and _reads(s, known))
    has_whole = not pc.all(pc.match_substring_regex(known, "[.,]")).as_py()
    return _Column(styles, column[row].as_py(), row + 1, has_whole)


def _reads(style: _Style, known: pa.ChunkedArray) -> bool:
    """All can be read in this way, and nothing speaks against it.

    Where thousands are parted no number has four digits in a row before its point. `1,042` beside
    `1.5` is no proof: only a number with two signs shows what parts its thousands.
    """
    plain = pc.match_substring_regex(known, style.plain)
    grouped = pc.match_substring_regex(known, style.grouped)
    if not pc.all(pc.or_(plain, grouped)).as_py():
        return False
    only_grouped = known.filter(pc.invert(plain))
    if len(only_grouped) == 0:
        return True
    if pc.any(pc.match_substring_regex(known.filter(plain), _LONG_WITHOUT)).as_py():
        return False
    has_point = pc.any(pc.match_substring(known, style.point)).as_py()
    return not has_point or pc.any(pc.match_substring_regex(known, _BOTH)).as_py()


def _converted(column: pa.ChunkedArray, style: _Style) -> pa.ChunkedArray:
    bare = pc.replace_substring(column, style.between_thousands, "")
    return pc.cast(pc.replace_substring(bare, style.point, "."), pa.float64())


def _said(texts: Mapping[str, pa.ChunkedArray], style_of: Mapping[str, _Style]) -> tuple[str, ...]:
    said = []
    if any(style is GERMAN for style in style_of.values()):
        said.append("numbers are read with a comma for the point")
    for name, style in style_of.items():
        grouped = texts[name].filter(pc.match_substring_regex(texts[name], style.grouped))
        if len(grouped):
            example = grouped[0].as_py()
            said.append(f"{example} of {name!r} is read as {style.number_of(example)}")
    return tuple(said)
