"""A report on a terminal, in colour where that is wanted, plain everywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TextIO

from gradproof.reports._layout import Line, Style, safe
from gradproof.reports._text import compose

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from gradproof._words.results import Report

WIDEST_PAGE: Final = 100
PLAIN_WIDTH: Final = 80
RICH: Final[dict[Style, str]] = {
    "good": "bold green",
    "bad": "bold red",
    "unsure": "bold yellow",
    "heading": "bold",
    "faint": "dim",
}
ASCII: Final = str.maketrans(
    {"±": "+/-", "×": "x", "−": "-", "…": "...", "θ": "theta", "‖": "||", "·": "*", "≤": "<=", "′": "'"}
)


def print_report(report: Report, console: Console | None = None) -> None:
    """Print a report: in colour on a terminal, without any control code elsewhere or where NO_COLOR asks for none.

    Parameters
    ----------
    report
        Any report.
    console
        Where to print; standard output by default.
    """
    from rich.console import Console

    console = console or Console()
    width = min(console.width, WIDEST_PAGE) if console.is_terminal else PLAIN_WIDTH
    in_color = has_color(console)
    # Written in one piece and past rich, which would end the process with code 1 (WRONG) where the reader has gone.
    with console.capture() as captured:
        for line in compose(report, width):
            console.print(_rich(line, console.encoding, in_color=in_color), soft_wrap=True, highlight=False)
    console.file.write(captured.get())


def has_color(console: Console | None = None) -> bool:
    """Say whether colour is wanted: on a terminal, unless NO_COLOR is set.

    Parameters
    ----------
    console
        Where to print; standard output by default.
    """
    from rich.console import Console

    console = console or Console()
    return console.is_terminal and not console.no_color and not console.is_dumb_terminal


def _rich(line: Line, encoding: str, *, in_color: bool) -> Text:
    """Build rich text from spans, never from markup: brackets in names stay brackets."""
    from rich.text import Text

    text = Text(end="")
    for span in line:
        text.append(encodable(span.text, encoding), RICH.get(span.style, "") if in_color else "")
    text.rstrip()
    return text


def to_stream(text: str, stream: TextIO) -> None:
    """Write a plain message, made safe line by line, to a stream of any encoding.

    Parameters
    ----------
    text
        The message; its line feeds are kept.
    stream
        Standard error, as a rule.
    """
    stream.writelines(encodable(safe(line), stream.encoding or "ascii") + "\n" for line in text.split("\n"))


def encodable(text: str, encoding: str) -> str:
    """Return text that a stream of this encoding can take: signs spelled in ASCII, then escapes, where it must be."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        spelled = text.translate(ASCII)
        return spelled.encode(encoding, "backslashreplace").decode(encoding)
    return text
