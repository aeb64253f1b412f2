"""A report as one self-contained HTML page, and as a fragment for a notebook's cell.

The sentences are those of the text page, set without line breaks; what is drawn comes from the report alone.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gradproof._words.errors import UsageError
from gradproof._words.results import Verdict
from gradproof.reports import _sections
from gradproof.reports._layout import Line, safe
from gradproof.reports._numbers import figures, lower_bound, rounded_up, short
from gradproof.reports._tables import faulty_coordinates, kink_choices, not_exercised, self_test
from gradproof.reports._text import to_text

if TYPE_CHECKING:
    from jinja2 import Template

    from gradproof._words.results import BlockResult, CoordinateResult, Report

UNBROKEN: Final = 100_000
"""Width at which no sentence is broken: the browser breaks them."""
SMALLEST, LARGEST = 1e-17, 1.0
"""Ends of the axis of relative differences: below one rounding, and the largest that there is."""
PICTURE: Final = 180.0
"""Width of an interval's picture, in pixels."""
MAP: Final = 240.0
"""Largest side of a map of coordinates, in pixels."""
SMALLEST_CELL: Final = 3.0
ORDER: Final = (Verdict.WRONG, Verdict.INCONCLUSIVE, Verdict.CORRECT)
"""Of the blocks: what is in question first."""
MARKS: Final = {Verdict.CORRECT: "✓", Verdict.WRONG: "✗", Verdict.INCONCLUSIVE: "?"}
"""A verdict is told by its word and its mark: colour alone tells nothing to many."""


def to_html(report: Report) -> str:
    """Return a report as one HTML page that needs nothing else: no network, no file beside it.

    Parameters
    ----------
    report
        Any report.

    Returns
    -------
    str
        The page: readable without JavaScript, which only sorts and filters the table of blocks.

    Raises
    ------
    UsageError
        Where Jinja2 is not installed.
    """
    return _template("page.html").render(**_content(report))


def to_cell(report: Report) -> str | None:
    """Return a report as HTML for a notebook's cell: the verdict, the intervals, the causes; None without Jinja2."""
    try:
        return _template("cell.html").render(**_content(report))
    except UsageError:
        return None  # a notebook then shows the Markdown


def save(report: Report, path: str | os.PathLike[str]) -> None:
    """Write a report as a page (``.html``) or as JSON (``.json``).

    Raises
    ------
    UsageError
        For another ending, and where the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in {".html", ".htm", ".json"}:
        raise UsageError(
            f"path is {str(path)!r}",
            meaning="Its ending says neither HTML nor JSON",
            remedy="End it in .html or in .json",
        )
    text = report.to_json() + "\n" if path.suffix.lower() == ".json" else to_html(report)
    try:
        # Lone surrogates, possible in names, become escapes.
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"{path} could not be written: {error.strerror or error}") from error


def to_markdown(report: Report) -> str:
    """Return a report as Markdown: the text page, set as it is."""
    text = to_text(report)
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{fence}text\n{text}\n{fence}"


@cache
def _template(name: str) -> Template:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise UsageError(
            "Jinja2 is not installed", meaning="It sets the page", remedy="pip install 'gradproof[html]'"
        ) from None
    environment = Environment(
        loader=PackageLoader("gradproof.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _content(report: Report) -> dict[str, Any]:
    """Return what the templates show."""
    first, *rest = _sentences(_sections.headline(report, UNBROKEN))
    causes = _sections.causes(report, UNBROKEN)
    return {
        "title": f"gradproof: {report.verdict.name}",
        "verdict": report.verdict.name,
        "mark": MARKS[report.verdict],
        "headline": first.removeprefix(report.verdict.name),
        "sentences": rest,
        "step": "" if report.step is None else report.step.sentence,
        "causes": [(line.strip(), len(line) - len(line.lstrip())) for line in _sentences(causes)[1:]],
        "blocks": [_block(block) for block in sorted(report.blocks, key=lambda block: ORDER.index(block.verdict))],
        "ticks": [(f"1e{power}", _place(10.0**power)) for power in range(-16, 1, 4)],
        "width": PICTURE,
        "tables": [
            _table(lines)
            for lines in (
                faulty_coordinates(report, UNBROKEN),
                kink_choices(report, UNBROKEN),
                self_test(report, UNBROKEN),
            )
            if lines
        ],
        "maps": list(_maps(report)),
        "notes": [
            *(line.strip().removeprefix("- ") for line in _sentences(_sections.notes(report, UNBROKEN))[1:]),
            *(line.strip() for line in _sentences(not_exercised(report, UNBROKEN))),
        ],
        "footer": _sentences(_sections.footer(report, UNBROKEN)),
    }


def _sentences(lines: Iterable[Line]) -> list[str]:
    return ["".join(span.text for span in line).rstrip() for line in lines]


def _table(lines: Sequence[Line]) -> dict[str, Any]:
    """Return a table of the text page by its cells: a heading, sentences, rows of the same number of cells."""
    heading, *body = lines
    rows = [[span.text.strip() for span in line if span.text.strip()] for line in body]
    most = max(map(len, rows))
    return {
        "heading": _sentences([heading])[0],
        "rows": [row for row in rows if len(row) == most > 1],
        "sentences": [" ".join(row) for row in rows if len(row) != most or most == 1],
    }


def _block(block: BlockResult) -> dict[str, Any]:
    d = block.difference
    return {
        "name": safe(block.name),
        "shape": "×".join(map(str, block.shape)) or "scalar",
        "dtype": safe(block.dtype),
        "verdict": block.verdict.name,
        "mark": MARKS[block.verdict],
        "difference": figures(d.estimate),
        "upper": figures(rounded_up(d.upper)),
        "tolerance": short(block.tolerance),
        "lower": lower_bound(d.lower) if d.lower > 0 else "0",
        "size": math.prod(block.shape),
        "low": _place(d.lower),
        "high": _place(d.upper),
        "at": _place(d.estimate),
        "limit": _place(block.tolerance),
    }


def _place(difference: float) -> float:
    """Return where a relative difference lies on the logarithmic axis, in pixels; unknown ones at its end."""
    if not math.isfinite(difference):
        return PICTURE
    clipped = min(max(difference, SMALLEST), LARGEST)
    return round(PICTURE * math.log(clipped / SMALLEST) / math.log(LARGEST / SMALLEST), 1)


def _maps(report: Report) -> Iterable[dict[str, Any]]:
    """Draw where in a block its faulty coordinates are: a wrong row or column is seen."""
    shapes = {block.name: block.shape for block in report.blocks}
    found: dict[str, list[CoordinateResult]] = {}
    for result in report.coordinates:
        if result.kink is None and result.block in shapes:
            found.setdefault(result.block, []).append(result)
    for name, results in found.items():
        shape = shapes[name]
        columns = shape[-1] if shape else 1
        rows = math.prod(shape[:-1])
        if rows * columns < 2 or len(results) < 2:
            continue
        cell = min(MAP / columns, MAP / rows, 16.0)
        side = max(cell, SMALLEST_CELL)
        yield {
            "name": safe(name),
            "shape": "×".join(map(str, shape)),
            "width": round(max(columns * cell, side), 1),
            "height": round(max(rows * cell, side), 1),
            "side": round(side, 2),
            "cells": [_cell(result, shape, cell) for result in results],
            "count": len(results),
        }


def _cell(result: CoordinateResult, shape: tuple[int, ...], cell: float) -> dict[str, Any]:
    row = 0
    for index, size in zip(result.index[:-1], shape[:-1], strict=True):
        row = row * size + index
    said = f"[{', '.join(map(str, result.index))}]: claimed {short(result.claimed, 6)}, numerical {short(result.numerical, 6)}"
    return {"x": round(result.index[-1] * cell, 1), "y": round(row * cell, 1), "said": said}
