"""The scripts of findings/ have the form that CONTRIBUTING.md describes; they are run by `make findings` only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[1] / "findings").glob("*.sh"))


def out_of_form(text):
    """Say what a finding lacks."""
    head = text.partition("\nset -eu\n")[0]
    wanted = {
        "set -eu": "\nset -eu\n" in text,
        "a temporary folder that is removed": "mktemp -d" in text and "trap 'rm -rf" in text,
        "its version at the head": re.search(r"^# [\w-]+(?: [\w-]+)? \d+\.\d+", head, re.MULTILINE) is not None,
        "the output as it was seen": "# Seen with Python" in head,
        "pinned packages": all("==" in line for line in re.findall(r"pip\" install[^\n]*", text)) and "==" in text,
        "no gradproof": "gradproof" not in text,
    }
    return [what for what, there in wanted.items() if not there]


def test_there_are_findings():
    assert len(SCRIPTS) >= 6


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_finding_has_its_form(script):
    text = script.read_text("utf-8")
    assert out_of_form(text) == []
    assert os.access(script, os.X_OK)
    subprocess.run([shutil.which("sh"), "-n", script], check=True)


def test_a_finding_out_of_form_is_noticed():
    text = SCRIPTS[0].read_text("utf-8")
    for part in ("set -eu", "mktemp -d", "Seen with", "=="):
        assert out_of_form(text.replace(part, "")) != []
    assert out_of_form(text + "import gradproof") == ["no gradproof"]
