"""Safe text, its width in terminal cells, wrapping and tables.

Names come from the user's dictionaries and files: what could move the cursor, reverse the reading direction or hide is
spelled out as an escape, never interpreted.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Style: TypeAlias = Literal["", "good", "bad", "unsure", "heading", "faint"]
ELLIPSIS: Final = "…"
NARROWEST: Final = 10
"""A flexible column is not made narrower than this."""
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN"})
_ZERO_WIDTH: Final = frozenset({"Mn", "Me"})


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line in one style."""

    text: str
    style: Style = ""


Line: TypeAlias = tuple[Span, ...]


def safe(text: str) -> str:
    r"""Return text without anything that a terminal would act upon.

    Control and format characters, odd spaces, lone surrogates, unassigned code points and letters written from right to left become
    escapes such as ``\x1b`` and ``\u202e``, as Python would write them.
    """
    return "".join(_escape(character) if _is_unsafe(character) else character for character in text)


def _is_unsafe(character: str) -> bool:
    return not character.isprintable() or unicodedata.bidirectional(character) in _RIGHT_TO_LEFT


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def cells(text: str) -> int:
    """Count the terminal cells of safe text: wide East Asian characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(map(_cell, text))


def _cell(character: str) -> int:
    if unicodedata.category(character) in _ZERO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Fill text with spaces up to a width in cells."""
    fill = " " * max(width - cells(text), 0)
    return fill + text if right else text + fill


def shorten(text: str, width: int) -> str:
    """Cut safe text to a width in cells by an ellipsis in its middle: both ends of a long path matter."""
    if cells(text) <= width:
        return text
    if width <= 1:
        return ELLIPSIS[:width]
    tail = _take(reversed(text), (width - 1) // 2)[::-1]
    head = _take(text, width - 1 - cells(tail))
    return head + ELLIPSIS + tail


def _take(characters: Iterable[str], width: int) -> str:
    taken: list[str] = []
    for character in characters:
        width -= _cell(character)
        if width < 0:
            break
        taken.append(character)
    return "".join(taken)


def wrap(text: str, width: int, *, first: str = "", rest: str = "") -> list[str]:
    """Break text at spaces into lines of at most `width` cells; words longer than a line are cut.

    Parameters
    ----------
    text
        Any text; it is made safe here, and its white space becomes single spaces.
    width
        Of a line, its indentation included.
    first, rest
        Indentation of the first and of the other lines.
    """
    lines, line, start = [], first, first
    for word in _pieces(text, width - max(cells(first), cells(rest))):
        if line != start and cells(line) + 1 + cells(word) > width:
            lines.append(line)
            line = start = rest
        line += word if line == start else f" {word}"
    return [*lines, line]


def _pieces(text: str, width: int) -> Iterator[str]:
    for word in map(safe, text.split()):
        rest = word
        while cells(rest) > max(width, 1):
            piece = _take(rest, max(width, 1)) or rest[0]
            yield piece
            rest = rest[len(piece) :]
        if rest:
            yield rest


def plain(text: str, style: Style = "") -> Line:
    """Return a line of one span."""
    return (Span(text, style),)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    heading
        The word above it.
    right
        Flush right.
    flexible
        Shortened where the table is wider than the page.
    optional
        Left out, the last one first, where the page is narrower still.
    """

    heading: str
    right: bool = False
    flexible: bool = False
    optional: bool = False


Cell: TypeAlias = tuple[str, Style]


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, width: int, indent: int = 2) -> list[Line]:
    """Set a table: columns as wide as what they hold, fitted to the page; those empty in every row are left out.

    Where the first column would have to be cut, its long cells stand on lines of their own above their rows: a name cut
    in its middle may be that of another row, too.
    """
    kept = [i for i in range(len(columns)) if any(row[i][0] for row in rows)]
    widths = {i: max(cells(columns[i].heading), *(cells(row[i][0]) for row in rows)) for i in kept}
    first, wanted = kept[0], widths[kept[0]]
    _fit(columns, widths, width - indent)
    if widths[first] < wanted:
        widths[first] = cells(columns[first].heading)
    lines = [_table_line(columns, widths, [(column.heading, "faint") for column in columns], indent)]
    for row in rows:
        name, style = row[first]
        if cells(name) > widths[first]:
            lines.append((Span(" " * indent), Span(shorten(name, width - indent), style)))
            row = [*row[:first], ("", ""), *row[first + 1 :]]  # noqa: PLW2901
        lines.append(_table_line(columns, widths, row, indent))
    return lines


def _fit(columns: Sequence[Column], widths: dict[int, int], width: int) -> None:
    """Shorten the flexible columns, down to a few cells, and drop the optional ones, until the widths fit."""
    while True:
        excess = sum(widths.values()) + 2 * (len(widths) - 1) - width
        flexible = sorted((i for i in widths if columns[i].flexible), key=lambda i: -widths[i])
        optional = [i for i in widths if columns[i].optional]
        if not optional or excess <= sum(max(widths[i] - NARROWEST, 0) for i in flexible):
            break
        del widths[optional[-1]]
    for i in flexible:
        cut = min(max(excess, 0), max(widths[i] - NARROWEST, 0))
        widths[i] -= cut
        excess -= cut


def _table_line(columns: Sequence[Column], widths: dict[int, int], row: Sequence[Cell], indent: int) -> Line:
    spans = [Span(" " * indent)]
    last = max(widths)
    for i, width in widths.items():
        text, style = row[i]
        fitted = shorten(text, width)
        is_last_left = i == last and not columns[i].right
        spans.append(Span(fitted if is_last_left else pad(fitted, width, right=columns[i].right), style))
        if i != last:
            spans.append(Span("  "))
    return tuple(spans)
