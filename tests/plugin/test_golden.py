"""What a newcomer sees at 80 columns: the pages of docs/, run as suites, and the first wrong gradient as a golden file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
BLOCK = re.compile(r"^```python\n# (?P<file>test_\w+\.py)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def suites(page):
    """Return the test files of a page by their names: blocks that begin with ``# test_….py``, one after another."""
    found = {}
    for match in BLOCK.finditer((ROOT / "docs" / page).read_text("utf-8")):
        found[match["file"]] = found.get(match["file"], "") + match["code"]
    return found


def skeleton(text):
    """Return the words of a page: digits that come from rounding differ from machine to machine, and with them its lines."""
    return re.sub(r"\d[\d.]*(?:e-?\d+)?", "#", " ".join(text.split())).replace("# µs", "# ms").replace("# s;", "# ms;")


@pytest.mark.parametrize("golden", ["plugin_first_wrong_gradient", "plugin_open_question"])
def test_a_newcomer_s_failure_is_as_it_was_reviewed(suite, golden, request):
    name = golden.replace("plugin", "test") + ".py"
    (suite.pytester.path / name).write_text(suites("pytest.md")[name], encoding="utf-8")
    result = suite.pytester.runpytest_inprocess("-q", "-p", "no:cacheprovider", "-W", "error", name)
    result.assert_outcomes(failed=1)
    text = "\n".join(result.outlines) + "\n"
    path = GOLDEN / f"{golden}.txt"
    if request.config.getoption("--regenerate", default=False):
        path.write_text(text, encoding="utf-8", newline="\n")
    reviewed = path.read_text(encoding="utf-8")
    assert skeleton(text) == skeleton(reviewed), (
        f"{golden}.txt has changed: look at it with pytest tests/golden tests/plugin --regenerate"
    )
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("golden", ["plugin_first_wrong_gradient", "plugin_open_question"])
def test_the_page_shows_the_golden_file(golden):
    reviewed = (GOLDEN / f"{golden}.txt").read_text(encoding="utf-8").split("\n", 1)[1]
    assert reviewed in (ROOT / "docs" / "pytest.md").read_text(encoding="utf-8")


def test_another_word_would_be_noticed_and_another_digit_would_not():
    assert skeleton("in 12\nms; J = 0.545 with") == skeleton("in 3.1 ms; J = 0.5451\nwith")
    assert skeleton("WRONG in w") != skeleton("WRONG in b")


@pytest.mark.parametrize(
    ("page", "name", "outcomes"),
    [
        ("pytest.md", "test_network.py", {"passed": 2}),
        ("hypothesis.md", "test_softplus.py", {"passed": 1}),
        ("hypothesis.md", "test_wrong_softplus.py", {"failed": 1}),
    ],
)
def test_the_suites_of_the_pages_do_what_the_pages_say(suite, page, name, outcomes):
    (suite.pytester.path / name).write_text(suites(page)[name], encoding="utf-8")
    result = suite.pytester.runpytest_inprocess(
        "-p", "no:cacheprovider", "-W", "error::gradproof.GradproofWarning", name
    )
    result.assert_outcomes(**outcomes)
