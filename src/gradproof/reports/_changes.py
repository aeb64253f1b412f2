"""What changed between two reports, as text for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final

from gradproof._words.results import Verdict
from gradproof.reports._comparison import NEW_KINDS, Change, Kind
from gradproof.reports._layout import safe, shorten, wrap
from gradproof.reports._numbers import count, short
from gradproof.reports._sections import names

WORDS: Final = {Verdict.CORRECT: "certified", Verdict.WRONG: "wrong", Verdict.INCONCLUSIVE: "undecided"}
LONGEST_TEST: Final = 200
MARGIN: Final = "  - "


def changes_to_text(changes: Sequence[Change], checks: int, *, width: int = 80) -> str:
    """Return a comparison as text: what is worse first, each check named once.

    Parameters
    ----------
    changes
        As `gradproof.reports._comparison.changes` lists them.
    checks
        How many checks there are now.
    width
        Of the page in terminal cells.
    """
    lines = wrap(_headline(changes, checks), width)
    lines += _listed("Worse", [change for change in changes if change.worse], width)
    lines += _listed("Other changes", [change for change in changes if not change.worse], width)
    return "\n".join(lines)


def _headline(changes: Sequence[Change], checks: int) -> str:
    if not changes:
        return f"Nothing changed in {count(checks, 'check')}."
    worse = {change.check for change in changes if change.worse}
    word = (
        f"WORSE: {count(len(worse), 'check')} of {checks}" if worse else f"Nothing is worse in {count(checks, 'check')}"
    )
    kinds: dict[str, Callable[[Change], bool]] = {
        "certified now": lambda change: change.kind is Kind.MENDED,
        "new": lambda change: change.kind in NEW_KINDS.values(),
        "gone": lambda change: change.kind is Kind.GONE,
    }
    told = [(len({c.check for c in changes if fits(c) and not c.block}), what) for what, fits in kinds.items()]
    return "; ".join([word, *(f"{number} {what}" for number, what in told if number)]) + "."


def _listed(heading: str, changes: Iterable[Change], width: int) -> list[str]:
    lines = []
    for check, of_check in groupby(changes, key=lambda change: change.check):
        lines += wrap(shorten(safe(check), LONGEST_TEST) or "the gradient", width, first=MARGIN, rest="      ")
        for change in of_check:
            lines += wrap(_sentence(change), width, first="    ", rest="      ")
    return ["", heading, *lines] if lines else []


def _sentence(change: Change) -> str:
    what = f"{names([change.block])}: " if change.block else ""
    before = WORDS[change.before] if change.before else ""
    after = WORDS[change.after] if change.after else ""
    if change.kind is Kind.GREW:
        return f"{what}the relative difference was {short(change.old)}, and is {short(change.new)} now."
    if change.kind is Kind.LOOSER:
        return f"{what}the tolerance was {short(change.old)}, and is {short(change.new)} now."
    if change.kind is Kind.GONE:
        return f"{what}no longer checked; {before} before."
    faulty = f" in {names(change.faulty)}" if change.faulty else ""
    return f"{what}{f'{before} before, {after} now' if before else f'new, and {after}'}{faulty}."
