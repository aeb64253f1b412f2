"""The frozen table belongs to `benchmarks/behaviour.py`, and so do its cases."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
