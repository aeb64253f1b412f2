"""What gradproof says to the gradient checks of other projects' test suites: `pytest --gradproof-shadow`, file by file.

    python benchmarks/suites.py CHECKOUT/tests/test_linalg.py …

A suite's own outcome is left as it is. Without files there is nothing to measure: suites are not part of this project.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from gradproof.compat._shadow import LISTED, ORDER, kind_of


def shadowed(file: Path) -> list[dict]:
    """Run one file of a suite where it lies; return its calls of other checkers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shadow.json"
        options = ["-q", "-p", "no:cacheprovider", "--gradproof-shadow", "--gradproof-report", str(path)]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, file.name],
            check=False,
            cwd=file.parent,
            capture_output=True,
            text=True,
        )
        if not path.exists():
            print(f"{file}: pytest ended with {done.returncode}\n{done.stdout[-2000:]}", file=sys.stderr)
            return []
        return json.loads(path.read_text("utf-8"))["shadow"]


def main(files: list[str]) -> None:
    if not files:
        print(__doc__)
        return
    everything: list[dict] = []
    for name in files:
        calls = shadowed(Path(name).resolve())
        everything += calls
        print(f"{name}: {len(calls)} calls", flush=True)
    counts = Counter(map(kind_of, everything))
    print(f"\n| {len(everything)} calls | |\n|---|---|")
    for kind in ORDER:
        if counts[kind]:
            print(f"| {kind} | {counts[kind]} |")
    peers, own = (sum(call[name] for call in everything) for name in ("peer_seconds", "seconds"))
    print(f"| seconds of theirs, of gradproof | {peers:.1f}, {own:.1f} |\n")
    for call in everything:
        if kind_of(call) in LISTED:
            print(f"{call['test']} at {call['line']}, {kind_of(call)}: {call['why'][:160]}")


if __name__ == "__main__":
    main(sys.argv[1:])
