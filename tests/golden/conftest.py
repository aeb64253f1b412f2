"""``pytest tests/golden --regenerate`` writes the golden files anew; review them as a diff."""

from __future__ import annotations


def pytest_addoption(parser):
    parser.addoption("--regenerate", action="store_true", default=False, help="write the golden files anew")
