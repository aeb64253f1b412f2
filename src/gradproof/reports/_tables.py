"""The tables of a report: blocks, faulty coordinates, choices at kinks, the self-test."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from gradproof._numerics.statistics import within
from gradproof._words.results import Verdict
from gradproof.reports._layout import Cell, Column, Line, plain, safe, table, wrap
from gradproof.reports._numbers import count, figures, grouped, ratio, rounded_up, short, to_bar, with_bar
from gradproof.reports._sections import VERDICT_STYLES

if TYPE_CHECKING:
    from gradproof._words.results import BlockResult, CoordinateResult, Report, SelfTestResult

MOST_CORRECT: Final = 8
"""With more CORRECT blocks the table folds …"""
LARGEST_CORRECT: Final = 3
"""… to those in question and so many with the largest differences."""
MOST_BLOCKS: Final = 100
MOST_COORDINATES: Final = 10
MOST_WITH_A_CAUSE: Final = 5
"""Where the cause is named, fewer examples of it do."""
MOST_MUTATIONS: Final = 30
FAR: Final = 30.0
"""Tolerances above which a resolution is news: by eight lines, where nothing is noisy, it is nine of them."""


def blocks(report: Report, width: int) -> list[Line]:
    """Set the table of blocks: those in question first where not all fit, then the largest differences."""
    shown, rest = _fold(report)
    if not shown:
        return []
    resolved = any(_coarse(block) for block in shown)
    rows = [_block_row(report, block, resolved=resolved) for block in shown]
    lines = [plain("Blocks", "heading"), *table(_block_columns(), rows, width=width)]
    if rest:
        lines += _sentence(rest, width)
    if any(span.text.strip() == "resolution" for span in lines[1]):
        lines += _sentence("resolution: the smallest relative difference that would have been called WRONG.", width)
    return lines + not_exercised(report, width)


def faulty_coordinates(report: Report, width: int) -> list[Line]:
    """List the coordinates found wrong, in the report's order: worst first."""
    found = [result for result in report.coordinates if not _is_choice(result)]
    if not found:
        return []
    columns = (
        Column("coordinate", flexible=True),
        Column("claimed", right=True),
        Column("numerical", right=True),
        Column("ratio", right=True, optional=True),
    )
    rows: list[list[Cell]] = [
        [
            (_coordinate(result), ""),
            (to_bar(result.claimed, result.error_bar), "bad"),
            ("not measured" if math.isnan(result.numerical) else with_bar(result.numerical, result.error_bar), ""),
            ("" if math.isnan(result.ratio) else ratio(result.ratio), ""),
        ]
        for result in found[: MOST_WITH_A_CAUSE if report.diagnoses else MOST_COORDINATES]
    ]
    total = max(sum(block.wrong_coordinates for block in report.blocks), len(found))
    lines = [plain("Faulty coordinates, worst first", "heading"), *table(columns, rows, width=width)]
    if total > len(rows):
        listed = f" (report.coordinates lists {len(found)})" if len(found) > len(rows) else ""
        lines += _sentence(f"and {grouped(total - len(rows))} more{listed}.", width)
    return lines


def kink_choices(report: Report, width: int) -> list[Line]:
    """List the coordinates where the slope jumps and the claim is one of the valid choices."""
    found = [result for result in report.coordinates if _is_choice(result)]
    if not found:
        return []
    columns = (
        Column("coordinate", flexible=True),
        Column("claimed", right=True),
        Column("slope on the left", right=True),
        Column("on the right", right=True),
    )
    rows: list[list[Cell]] = [
        [
            (_coordinate(result), ""),
            (to_bar(result.claimed, kink.error_bar), ""),
            (with_bar(kink.left, kink.error_bar), ""),
            (with_bar(kink.right, kink.error_bar), ""),
        ]
        for result in found[:MOST_COORDINATES]
        if (kink := result.kink)
    ]
    lines = [plain("Choices at a kink", "heading"), *table(columns, rows, width=width)]
    if len(found) > len(rows):
        lines += _sentence(f"and {grouped(len(found) - len(rows))} more.", width)
    return lines + _sentence(
        "The slope jumps at the point itself, and the claim lies between its two sides: a valid choice.", width
    )


def self_test(report: Report, width: int) -> list[Line]:
    """Say which mistakes this check would have caught, those missed first."""
    results = sorted(report.self_test, key=lambda result: result.caught)
    if not results:
        return []
    columns = (
        Column("mutation", flexible=True),
        Column("block", flexible=True),
        Column("difference", right=True),
        Column("caught"),
        Column("note", flexible=True, optional=True),
    )
    lines = [plain("Self-test", "heading"), *_sentence(_power(results, report.tolerance), width)]
    lines += table(columns, [_mutation_row(result) for result in results[:MOST_MUTATIONS]], width=width)
    if len(results) > MOST_MUTATIONS:
        lines += _sentence(f"and {grouped(len(results) - MOST_MUTATIONS)} more (report.self_test lists all).", width)
    return lines


def _fold(report: Report) -> tuple[list[BlockResult], str]:
    """Choose the rows and word what is left out; small tables keep the order of the point."""
    doubtful = [block for block in report.blocks if block.verdict is not Verdict.CORRECT]
    correct = [block for block in report.blocks if block.verdict is Verdict.CORRECT]
    if len(correct) <= MOST_CORRECT and len(doubtful) <= MOST_BLOCKS:
        return list(report.blocks), ""
    correct.sort(key=lambda block: -_nan_as_infinity(block.difference.estimate))
    left_out = []
    if len(doubtful) > MOST_BLOCKS:
        left_out.append(f"{grouped(len(doubtful) - MOST_BLOCKS)} more that are not CORRECT (report.blocks lists all)")
    if len(correct) > MOST_CORRECT:
        correct, rest = correct[:LARGEST_CORRECT], correct[LARGEST_CORRECT:]
        largest = short(rest[0].difference.estimate)
        more = count(len(rest), "more block")
        left_out.append(f"{more}, all CORRECT with differences up to {largest}")
    return doubtful[:MOST_BLOCKS] + correct, f"and {'; '.join(left_out)}."


def _coarse(block: BlockResult) -> bool:
    """Say whether differences far above the tolerance would not have been called WRONG."""
    return block.verdict is not Verdict.WRONG and not block.zero and block.resolution > FAR * block.tolerance


def _block_columns() -> tuple[Column, ...]:
    return (
        Column("block", flexible=True),
        Column("shape", flexible=True, optional=True),
        Column("dtype", optional=True),
        Column("verdict"),
        Column("difference", right=True),
        Column("at most", right=True, optional=True),
        Column("resolution", right=True, optional=True),
        Column("tolerance", right=True, optional=True),
        Column("both zero", right=True, optional=True),
    )


def _block_row(report: Report, block: BlockResult, *, resolved: bool) -> list[Cell]:
    """Set one row; `resolved` where a resolution is news beside the tolerance."""
    return [
        (safe(block.name), ""),
        ("×".join(map(str, block.shape)) or "scalar", "faint"),
        (safe(block.dtype) if block.dtype != "float64" else "", "faint"),
        (block.verdict.name, VERDICT_STYLES[block.verdict]),
        (figures(block.difference.estimate), ""),
        (_bound(block.difference.upper), ""),
        (_bound(block.resolution) if resolved else "", ""),
        (short(block.tolerance) if block.tolerance != report.tolerance else "", ""),
        (grouped(block.not_exercised) if block.not_exercised else "", ""),
    ]


def _nan_as_infinity(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _bound(value: float) -> str:
    return figures(rounded_up(value))


def not_exercised(report: Report, width: int) -> list[Line]:
    idle = sum(block.not_exercised for block in report.blocks)
    size = sum(math.prod(block.shape) for block in report.blocks)
    if not idle:
        return []
    if idle == size:
        who = f"All {grouped(size)} coordinates are" if size > 1 else "The only coordinate is"
        return _sentence(f"{who} zero on both sides: nothing was exercised. Check at another point.", width)
    them, are = ("it", "is") if idle == 1 else ("them", "are")
    return _sentence(
        f"{grouped(idle)} of {count(size, 'coordinate')} {are} zero on both sides: "
        f"this point does not exercise {them}. Try another point or larger inputs.",
        width,
    )


def _is_choice(result: CoordinateResult) -> bool:
    """Say whether the claim lies between the one-sided derivatives of a kink, their bars added."""
    kink = result.kink
    if kink is None:
        return False
    middle, half = (kink.left + kink.right) / 2, abs(kink.right - kink.left) / 2
    return within(result.claimed - middle, half + kink.error_bar)


def _coordinate(result: CoordinateResult) -> str:
    return safe(result.block) + (f"[{', '.join(map(str, result.index))}]" if result.index else "")


def _power(results: list[SelfTestResult], tolerance: float) -> str:
    missed = [result for result in results if not result.caught]
    if not missed:
        return f"This check would have caught {_all(len(results))} of these mistakes."
    sentence = f"This check would have caught {len(results) - len(missed)} of {len(results)} mistakes."
    if all(result.relative_difference <= tolerance for result in missed):
        those = "The one missed changes" if len(missed) == 1 else "Those missed change"
        return f"{sentence} {those} the gradient by less than the tolerance."
    return f"{sentence} Another point, a smaller tolerance or less noise would show more."


def _all(number: int) -> str:
    return "every one" if number > 1 else "the only one"


def _mutation_row(result: SelfTestResult) -> list[Cell]:
    return [
        (safe(result.mutation), ""),
        (safe(result.block), ""),
        (figures(result.relative_difference), ""),
        ("yes" if result.caught else "no", "good" if result.caught else "bad"),
        (safe(result.note), "faint"),
    ]


def _sentence(text: str, width: int) -> list[Line]:
    return [plain(line, "faint") for line in wrap(text, width, first="  ", rest="  ")]
