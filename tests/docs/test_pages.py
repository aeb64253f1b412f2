"""Links between pages lead somewhere, and the index of docs/ lists every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gradproof

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def anchors(text):
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+?)\s*$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(text, page):
    """Find links to files or headings that are not there."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        there = text if not path else target.read_text("utf-8") if target.is_file() else ""
        if (path and not target.exists()) or (anchor and anchor not in anchors(there)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_the_page_leads_somewhere(page):
    assert broken(page.read_text("utf-8"), page) == []


def test_a_broken_link_is_noticed(tmp_path):
    (tmp_path / "there.md").write_text("# A heading, here\n")
    text = "# Top\n[a](there.md#a-heading-here) [b](#top) [c](https://x.org) [d](gone.md) [e](there.md#gone) [f](#gone)"
    assert broken(text, tmp_path / "page.md") == ["gone.md", "there.md#gone", "#gone"]


def missing_from_the_index(index, names):
    return sorted(set(names) - set(re.findall(r"\]\(([\w-]+\.md)\)", index)) - {"README.md"})


def test_the_index_lists_every_page():
    assert missing_from_the_index((DOCS / "README.md").read_text("utf-8"), (p.name for p in DOCS.glob("*.md"))) == []


def test_a_page_that_the_index_lacks_is_noticed():
    assert missing_from_the_index("* [A](a.md)", ["README.md", "a.md", "b.md"]) == ["b.md"]


def unexplained(page):
    return [cause.name for cause in gradproof.Cause if f"`{cause.name}`" not in page]


def test_every_cause_is_explained():
    page = (DOCS / "what-the-diagnosis-names.md").read_text("utf-8")
    assert unexplained(page) == []
    assert unexplained(page.replace("`PATTERN`", "")) == ["PATTERN"]
