"""Reports as text files, reviewed as diffs: what people see changes only when somebody looked at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from golden.sample_reports import SAMPLES
from gradproof._words.results import Report
from gradproof.reports import to_text

HERE = Path(__file__).parent
TEXTS = {f"{name}.txt": (lambda report=report: to_text(report)) for name, report in SAMPLES.items()} | {
    "wrong_twice_in_color.txt": lambda: to_text(SAMPLES["wrong_twice"], color=True),
    "wrong_twice_narrow.txt": lambda: to_text(SAMPLES["wrong_twice"], width=50),
    "many_blocks_wide.txt": lambda: to_text(SAMPLES["many_blocks"], width=140),
    "noisy.json": SAMPLES["noisy"].to_json,
}


@pytest.mark.parametrize("file", TEXTS)
def test_the_report_is_as_it_was_reviewed(file, request):
    text = TEXTS[file]() + "\n"
    path = HERE / file
    if request.config.getoption("--regenerate", default=False):
        path.write_text(text, encoding="utf-8", newline="\n")
    assert text == path.read_text(encoding="utf-8"), (
        f"{file} has changed: look at it with pytest tests/golden --regenerate"
    )


def test_every_golden_file_has_its_report():
    found = {path.name for path in HERE.iterdir() if path.suffix in {".txt", ".json"}}
    assert {name for name in found if not name.startswith("plugin_")} == set(TEXTS)  # those: tests/plugin


def test_a_report_saved_by_this_schema_is_still_read():
    assert Report.from_json((HERE / "noisy.json").read_text(encoding="utf-8")) == SAMPLES["noisy"]
