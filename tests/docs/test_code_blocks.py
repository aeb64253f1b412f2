"""Every Python block of README.md and of the pages in docs/ runs, a page's blocks one after another.

A line ``<!-- needs: sklearn -->`` before a block skips the page from there on where that module is not installed; a
line ``<!-- raises: ShapeMismatch -->`` says that the block is to raise that error. A block of text right after it shows
what it prints: the verdicts in it are those that it printed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("README.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(
    r"(?:<!--\s*(?P<order>needs|raises):\s*(?P<what>[\w. ]+?)\s*-->\s*\n+)?"
    r"^(?P<indent> *)```python\n(?P<code>.*?)^(?P=indent)```$"
    r"(?:\n+^(?P=indent)```text\n(?P<shown>.*?)^(?P=indent)```$)?",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    line: int
    code: str
    order: str
    what: str
    shown: str


VERDICT = re.compile(r"\b(?:CORRECT|WRONG|INCONCLUSIVE)\b")


def blocks(text):
    """Find the Python blocks of a page, each with the line of its first statement."""
    for match in FENCE.finditer(text):
        indent = match["indent"]
        code = "".join(line.removeprefix(indent) for line in match["code"].splitlines(keepends=True))
        line = text.count("\n", 0, match.start("code")) + 1
        yield Block(line, code, match["order"] or "", match["what"] or "", match["shown"] or "")


def run(text, name):
    """Run the blocks of a page in one namespace, reporting lines as those of the page."""
    namespace = {"__name__": "__main__"}
    for block in blocks(text):
        if block.order == "needs" and importlib.util.find_spec(block.what) is None:
            pytest.skip(f"{name}:{block.line} needs {block.what}")
        code = compile("\n" * (block.line - 1) + block.code, name, "exec")
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                exec(code, namespace)
        except Exception as error:
            if block.order != "raises" or type(error).__name__ != block.what:
                raise
        else:
            assert block.order != "raises", f"{name}:{block.line} was to raise {block.what}"
            seen, shown = VERDICT.findall(printed.getvalue()), VERDICT.findall(block.shown)
            assert not block.shown or "print(" not in block.code or seen == shown, (
                f"{name}:{block.line} printed {seen}, and shown is {shown}"
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_python_blocks_of_the_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(page.read_text("utf-8"), str(page.relative_to(ROOT)))


def test_there_are_pages_with_blocks():
    assert any(list(blocks(page.read_text("utf-8"))) for page in PAGES)


def test_a_failing_block_is_noticed_at_its_line():
    page = "# A page\n\n```python\nx = 1\n```\n\nand\n\n```python\nassert x == 2\n```\n"
    with pytest.raises(AssertionError) as caught:
        run(page, "page.md")
    assert caught.traceback[-1].lineno + 1 == 10


def test_a_block_that_is_to_raise_must_raise_just_that():
    run("<!-- raises: ValueError -->\n```python\nraise ValueError\n```\n", "page.md")
    with pytest.raises(KeyError):
        run("<!-- raises: ValueError -->\n```python\nraise KeyError\n```\n", "page.md")
    with pytest.raises(AssertionError, match=r"page\.md:3 was to raise ValueError"):
        run("<!-- raises: ValueError -->\n```python\npass\n```\n", "page.md")


def test_a_verdict_that_a_block_does_not_print_is_noticed():
    page = "```python\nprint('{}: so it is.')\n```\n\n```text\nWRONG: the gradient is wrong.\n```\n"
    run(page.format("WRONG"), "page.md")
    with pytest.raises(AssertionError, match=r"page\.md:2 printed \['CORRECT'\], and shown is \['WRONG'\]"):
        run(page.format("CORRECT"), "page.md")


def test_a_block_is_skipped_only_where_what_it_needs_is_missing():
    with pytest.raises(pytest.skip.Exception):
        run("<!-- needs: no_such_module -->\n```python\nraise ValueError\n```\n", "page.md")
    with pytest.raises(ValueError, match="ran"):
        run("<!-- needs: json -->\n```python\nraise ValueError('ran')\n```\n", "page.md")


def test_indented_blocks_and_other_languages_are_told_apart():
    page = "- item\n\n  ```python\n  x = 1\n  ```\n\n```text\nnot python\n```\n"
    assert [block.code for block in blocks(page)] == ["x = 1\n"]
