"""The probability of a false verdict, and who has spent it."""

from __future__ import annotations


class Ledger:
    """The probability α of a false verdict, handed out by name.

    CORRECT and WRONG need no split of α between them: each of these errors is possible under one truth only. False
    CORRECT is an event of one pair, so that a pair's looks share α; false WRONG is one of any pair.

    Parameters
    ----------
    alpha
        1 − confidence.
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha
        self.spent: dict[str, float] = {}

    def spend(self, account: str, share: float) -> float:
        """Return a share of α, entered in an account; no more than what is left there."""
        before = self.spent.get(account, 0.0)
        share = min(share, 1.0 - before)
        self.spent[account] = before + share
        return share * self.alpha
