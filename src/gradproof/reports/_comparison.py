"""What changed between two reports, or between two runs of a test suite: certified yesterday, wrong today."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gradproof._words.errors import UsageError
from gradproof._words.results import BlockResult, Difference, Report, Verdict

RUN_SCHEMA: Final = 1
"""Of the file that pytest's ``--gradproof-report`` writes."""
GROWTH: Final = 10.0
"""A difference that grew by less is not told: estimates of rounding errors move by such factors from seed to seed."""
SINGLE: Final = ""
"""The name of the only check of a file that holds one report."""


@enum.unique
class Kind(enum.Enum):
    """How a check, or a block of one, changed; the value is the phrase that people read."""

    WRONG_NOW = "wrong now"
    UNDECIDED_NOW = "undecided now"
    GREW = "a larger difference"
    NEW_WRONG = "new, and wrong"
    NEW_UNDECIDED = "new, and undecided"
    GONE = "gone"
    NEW = "new, and certified"
    LOOSER = "a looser tolerance"
    MENDED = "certified now"
    NO_LONGER_WRONG = "no longer proved wrong, and undecided"


WORSE: Final = frozenset({Kind.WRONG_NOW, Kind.UNDECIDED_NOW, Kind.GREW, Kind.NEW_WRONG, Kind.NEW_UNDECIDED})
"""What makes the comparison fail. A check that is gone is told, not counted: tests are renamed on good days, too."""
NEW_KINDS: Final = {
    Verdict.CORRECT: Kind.NEW,
    Verdict.WRONG: Kind.NEW_WRONG,
    Verdict.INCONCLUSIVE: Kind.NEW_UNDECIDED,
}
NOW_KINDS: Final = {
    Verdict.CORRECT: Kind.MENDED,
    Verdict.WRONG: Kind.WRONG_NOW,
    Verdict.INCONCLUSIVE: Kind.UNDECIDED_NOW,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is not as it was.

    Parameters
    ----------
    kind
        What happened.
    check
        The test's id, with the number of the assertion in it where it makes several; "" for the only report of a file.
    block
        The block that it concerns; "" for the whole gradient.
    before, after
        The verdicts; None where there was, or is, none.
    old, new
        The numbers that changed: relative differences for GREW, tolerances for LOOSER, else NaN.
    faulty
        The blocks that are wrong now.
    """

    kind: Kind
    check: str
    block: str = ""
    before: Verdict | None = None
    after: Verdict | None = None
    old: float = float("nan")
    new: float = float("nan")
    faulty: tuple[str, ...] = ()

    @property
    def worse(self) -> bool:
        """Whether it is a reason to fail."""
        return self.kind in WORSE


def read(text: str) -> dict[str, Report]:
    """Read the reports of a file by the names of their checks.

    Parameters
    ----------
    text
        What `Report.to_json` or pytest's ``--gradproof-report`` wrote.

    Returns
    -------
    dict
        One report named "" of the former; every report, by its test's id, of the latter.

    Raises
    ------
    UsageError
        Where the text is neither.
    """
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or "checks" not in data:
            return {SINGLE: Report.from_json(text)}
        if data.get("schema") != RUN_SCHEMA:
            raise UsageError(
                f"its schema is {data.get('schema')!r}, and this version of gradproof reads {RUN_SCHEMA}",
                remedy="Write both files with the same version",
            )
        return dict(map(_named, data["checks"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"this is no report of gradproof ({type(error).__name__}: {error})",
            remedy="Give a file that gradproof check --json or pytest --gradproof-report wrote",
        ) from error


def _named(check: Mapping[str, Any]) -> tuple[str, Report]:
    number = check["number"]
    name = str(check["test"]) if number == 1 else f"{check['test']} (assertion {number})"
    return name, Report.from_json(json.dumps(check["report"]))


def changes(old: Mapping[str, Report], new: Mapping[str, Report]) -> tuple[Change, ...]:
    """List what is not as it was, in the order of the new reports; what is gone comes last.

    Parameters
    ----------
    old, new
        Reports by the names of their checks, as `read` returns them.

    Raises
    ------
    UsageError
        Where one of them is a single report and the other a run.
    """
    if (SINGLE in old) is not (SINGLE in new) and old and new:
        raise UsageError(
            "one file holds a single report, the other the reports of a test run",
            remedy="Compare a report with a report, or a run with a run",
        )
    found: list[Change] = []
    for name, report in new.items():
        found += _of_check(name, old[name], report) if name in old else [_new(name, report)]
    return (*found, *(Change(kind=Kind.GONE, check=name, before=old[name].verdict) for name in old if name not in new))


def _new(name: str, report: Report) -> Change:
    return Change(kind=NEW_KINDS[report.verdict], check=name, after=report.verdict, faulty=report.faulty)


def _of_check(name: str, old: Report, new: Report) -> Iterator[Change]:
    """Compare the whole gradient first, then block by block what that does not say already."""
    whole = _verdict_change(name, "", old.verdict, new.verdict, new.faulty)
    if whole is not None:
        yield whole
    elif (grown := _growth(name, "", old.difference, new.difference)) is not None:
        yield grown
    if new.tolerance > old.tolerance:
        yield Change(
            kind=Kind.LOOSER,
            check=name,
            before=old.verdict,
            after=new.verdict,
            old=old.tolerance,
            new=new.tolerance,
        )
    before = {block.name: block for block in old.blocks}
    for block in new.blocks:
        if block.name in before:
            yield from _of_block(name, before.pop(block.name), block, whole)
        elif block.verdict is not Verdict.CORRECT and whole is None:
            yield Change(kind=NEW_KINDS[block.verdict], check=name, block=block.name, after=block.verdict)
    yield from (Change(kind=Kind.GONE, check=name, block=gone, before=before[gone].verdict) for gone in before)


def _of_block(name: str, old: BlockResult, new: BlockResult, whole: Change | None) -> Iterator[Change]:
    change = _verdict_change(name, new.name, old.verdict, new.verdict, ())
    if change is None:
        change = _growth(name, new.name, old.difference, new.difference)
    if change is not None and (whole is None or whole.kind is not change.kind):
        yield change


def _verdict_change(check: str, block: str, before: Verdict, after: Verdict, faulty: tuple[str, ...]) -> Change | None:
    if before is after:
        return None
    kind = NOW_KINDS[after]
    if before is Verdict.WRONG and after is Verdict.INCONCLUSIVE:
        kind = Kind.NO_LONGER_WRONG
    return Change(kind=kind, check=check, block=block, before=before, after=after, faulty=faulty)


def _growth(check: str, block: str, old: Difference, new: Difference) -> Change | None:
    """Tell a difference that grew tenfold, and beyond what was proved of it then: the rest is within the error bars."""
    if not (new.estimate >= GROWTH * old.estimate and new.estimate > old.upper):
        return None
    return Change(kind=Kind.GREW, check=check, block=block, old=old.estimate, new=new.estimate)
