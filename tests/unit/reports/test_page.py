"""A report as a page: whole by itself, safe, and drawn from the report alone."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from gradproof import Report, UsageError, Verdict, check_gradient
from gradproof.reports import _page, to_html, to_markdown

VOID = {"meta", "input", "br"}
NASTY = "<script>alert(1)</script>"


class Reader(HTMLParser):
    """Keeps the text of a page and its tags; fails where tags do not match."""

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.tags = [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in {"script", "style"}:
            self.text.append(data)

    @property
    def said(self):
        return " ".join("".join(self.text).split())


@pytest.fixture(scope="module")
def wrong():
    point = {"W": np.linspace(-1, 1, 48).reshape(6, 8), "b": np.linspace(0.1, 1, 5), NASTY: np.ones(2)}
    claimed = {name: 1 - np.tanh(value) ** 2 for name, value in point.items()}
    claimed["W"][3] *= 2

    def cost(p):
        return float(sum(np.sum(np.tanh(value)) for value in p.values()))

    return check_gradient(cost, point, claimed, seed=1, strategy="coordinates")


@pytest.fixture(scope="module")
def kinked():
    return check_gradient(lambda x: float(np.abs(x).sum()), np.array([0.0, 1.0]), np.array([3.0, 1.0]), seed=0)


def test_the_page_says_what_the_text_page_says(wrong):
    said = Reader(to_html(wrong)).said
    assert wrong.verdict is Verdict.WRONG
    for sentence in ("the gradient is wrong in", "Row 3 of the gradient of", "is 2 × the true one", "seed=1", "6×8"):
        assert sentence in said
        assert sentence in " ".join(str(wrong).split())


def test_why_a_check_is_open_is_said(kinked):
    said = Reader(to_html(kinked)).said
    assert f"{kinked.verdict.name}" in said
    assert len(said) > 200


def test_a_page_needs_nothing_beside_it(wrong):
    page = to_html(wrong)
    assert page.startswith("<!DOCTYPE html>")
    for tag, attributes in Reader(page).tags:
        assert tag not in {"link", "img", "iframe", "object", "embed"}
        assert not {"src", "href", "onclick", "srcset"} & attributes.keys()
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttp", page)


def test_a_name_is_never_markup(wrong):
    page = to_html(wrong)
    assert NASTY not in page
    assert "alert(1)" in Reader(page).said
    assert [tag for tag, _ in Reader(page).tags].count("script") == 1
    assert NASTY not in wrong._repr_html_()


def test_what_is_in_question_comes_first(wrong):
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td class="(\w+)">', to_html(wrong))
    assert len(rows) == len(wrong.blocks)
    assert rows[0][1] == "WRONG"
    assert "W" in rows[0][0]


def test_an_interval_is_drawn_where_its_bounds_are():
    assert _page._place(0.0) == _page._place(1e-30) == 0
    assert _page._place(1.0) == _page._place(np.inf) == _page._place(np.nan) == _page.PICTURE
    assert _page._place(1e-12) - _page._place(1e-16) == pytest.approx(_page._place(1e-4) - _page._place(1e-8), abs=0.2)


def test_a_wrong_row_is_seen_on_the_map(wrong):
    (drawn,) = _page._maps(wrong)
    assert drawn["count"] == 8
    assert len({cell["y"] for cell in drawn["cells"]}) == 1
    assert len({cell["x"] for cell in drawn["cells"]}) == 8
    assert all(0 <= cell["x"] < drawn["width"] and 0 <= cell["y"] < drawn["height"] for cell in drawn["cells"])


def test_five_thousand_blocks_take_two_megabytes_at_most(wrong):
    blocks = tuple(replace(wrong.blocks[0], name=f"model.encoder.layers.{k}.weight") for k in range(5000))
    assert len(to_html(replace(wrong, blocks=blocks, coordinates=(), diagnoses=())).encode()) <= 2_000_000


def test_the_script_is_short():
    path = _page.Path(_page.__file__).parent / "templates" / "sort.js"
    assert len(path.read_text().splitlines()) <= 200


def test_a_report_is_saved_as_its_ending_says(wrong, tmp_path):
    wrong.save(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == to_html(wrong) == wrong.to_html()
    wrong.save(str(tmp_path / "r.json"))
    assert Report.from_json((tmp_path / "r.json").read_text(encoding="utf-8")) == wrong
    with pytest.raises(UsageError, match=r"\.html or in \.json"):
        wrong.save(tmp_path / "r.txt")
    with pytest.raises(UsageError, match="could not be written"):
        wrong.save(tmp_path / "nowhere" / "r.html")


def test_a_notebook_shows_the_verdict_and_the_intervals(wrong):
    shown = wrong._repr_html_()
    reader = Reader(shown)
    assert "WRONG" in reader.said
    assert [tag for tag, _ in reader.tags].count("svg") == len(wrong.blocks)
    assert "<script" not in shown
    assert len(shown) < 20_000


def test_markdown_is_the_text_page_in_a_fence_that_no_name_ends(wrong):
    named = replace(wrong, notes=("a ```` b",))
    lines = to_markdown(named).splitlines()
    assert lines[0].endswith("text")
    assert lines[0].removesuffix("text") == lines[-1]
    assert len(lines[-1]) > 4
    assert str(named) in to_markdown(named)


def test_without_jinja_the_error_says_what_to_install_and_notebooks_show_text(wrong, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    _page._template.cache_clear()
    with pytest.raises(UsageError, match=r"gradproof\[html\]"):
        wrong.to_html()
    assert wrong._repr_html_() is None
    _page._template.cache_clear()
