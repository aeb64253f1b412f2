"""A report as text: the page that ``print(report)`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gradproof.reports._layout import Line, Span, Style, plain
from gradproof.reports._sections import causes, footer, headline, notes, step
from gradproof.reports._tables import blocks, faulty_coordinates, kink_choices, self_test

if TYPE_CHECKING:
    from gradproof._words.results import Report

NARROWEST_PAGE: Final = 50
ANSI: Final[dict[Style, str]] = {"good": "1;32", "bad": "1;31", "unsure": "1;33", "heading": "1", "faint": "2"}


def to_text(report: Report, *, width: int = 80, color: bool = False) -> str:
    """Return a report as text for people.

    Parameters
    ----------
    report
        Any report.
    width
        Of the page in terminal cells; below 50, 50 is used.
    color
        With ANSI codes for colour and weight; without, the text holds no control character but the line feed.

    Returns
    -------
    str
        Lines without trailing spaces, joined by line feeds; no line feed at the end.
    """
    render = _in_color if color else _without_color
    return "\n".join(map(render, compose(report, width)))


def compose(report: Report, width: int) -> list[Line]:
    """Return a report as lines of styled spans: the one source of every way to show it."""
    width = max(width, NARROWEST_PAGE)
    sections = (headline, step, causes, blocks, faulty_coordinates, kink_choices, self_test, notes, footer)
    lines: list[Line] = []
    for section in sections:
        part = section(report, width)
        if part:
            lines += [plain(""), *part] if lines else part
    return lines


def _without_color(line: Line) -> str:
    return "".join(span.text for span in line).rstrip()


def _in_color(line: Line) -> str:
    return "".join(map(_ansi, line)).rstrip()


def _ansi(span: Span) -> str:
    return f"\x1b[{ANSI[span.style]}m{span.text}\x1b[0m" if span.style and span.text.strip() else span.text
