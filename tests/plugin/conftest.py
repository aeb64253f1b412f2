"""Runs of pytest inside the tests: suites that use the fixture, each in a directory of its own."""

from __future__ import annotations

import json
import textwrap

import numpy as np
import pytest

import gradproof

CALM = ("-p", "no:cacheprovider", "-p", "no:randomly", "-W", "error")
NETWORK = """
import numpy as np
import pytest

point = {"w": np.array([0.4, -0.3]), "b": np.array(0.1)}
RIGHT = {"w": 2 * point["w"], "b": np.cos(point["b"])}
WRONG = {"w": point["w"], "b": np.cos(point["b"])}


def cost(point):
    return float(point["w"] @ point["w"] + np.sin(point["b"]))


def at_a_kink(point):
    return float(np.abs(point["w"] - [0.4, -0.3]).sum() + np.sin(point["b"]))
"""


class Suite:
    """A suite of one file, run with options; its reports are read back."""

    def __init__(self, pytester, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
        for name in ("PYTEST_ADDOPTS", "CI", "BUILD_NUMBER"):  # pytest shortens no summary where CI is set
            monkeypatch.delenv(name, raising=False)
        self.pytester = pytester
        self.reports_path = pytester.path / "reports.json"

    def write(self, tests, name="test_network"):
        self.pytester.makepyfile(**{name: NETWORK + textwrap.dedent(tests)})

    def run(self, *options, process=False):
        run = self.pytester.runpytest_subprocess if process else self.pytester.runpytest_inprocess
        return run(*CALM, "--gradproof-report", str(self.reports_path), *options)

    def checks(self):
        return json.loads(self.reports_path.read_text(encoding="utf-8"))["checks"]

    def seeds(self):
        return {check["test"]: check["report"]["seed"] for check in self.checks()}


@pytest.fixture(scope="session")
def _everything_loaded():
    """Load what a check loads late: pytester unloads what an inner run has loaded, which NumPy does not survive."""
    w = np.array([0.4, -0.3])
    generator = np.random.default_rng(0)
    str(gradproof.check_gradient(lambda w: float(w @ w), w, w, seed=0, self_test=True))
    str(gradproof.check_gradient(lambda w: float(w @ w) + 0.01 * generator.standard_normal(), w, 2 * w, seed=0))


@pytest.fixture
def suite(_everything_loaded, pytester, monkeypatch):
    return Suite(pytester, monkeypatch)
