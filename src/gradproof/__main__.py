"""``python -m gradproof``, and the console script: see `_command_line.app`."""

from __future__ import annotations

from gradproof._command_line.app import main

if __name__ == "__main__":
    main()
