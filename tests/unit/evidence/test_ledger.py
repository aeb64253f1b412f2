"""α is handed out by name, and no more of it than there is."""

from __future__ import annotations

import pytest

from gradproof._evidence.ledger import Ledger


def test_the_ledger_hands_out_alpha_and_no_more():
    ledger = Ledger(0.1)
    assert sum(ledger.spend("a pair", share) for share in (0.5, 0.2, 0.3)) == pytest.approx(0.1)
    assert ledger.spend("a pair", 0.01) == pytest.approx(0.0, abs=1e-15)


def test_accounts_of_the_ledger_are_kept_apart():
    ledger = Ledger(0.1)
    for account in ("one pair", "another"):
        assert ledger.spend(account, 1.0) == 0.1


def test_ten_tenths_are_the_whole_and_not_more():
    ledger = Ledger(1e-6)
    assert sum(ledger.spend("tenths", 0.1) for _ in range(10)) == pytest.approx(1e-6)
