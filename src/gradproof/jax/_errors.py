"""JAX's own errors, quoted."""

from __future__ import annotations

from typing import Final

LONGEST: Final = 700
"""Characters of one of JAX's messages that are quoted."""

ASIDES: Final = ("The error occurred while tracing", "See https://")
"""From there on a message tells where JAX was, not what happened."""


def quoted(error: BaseException) -> str:
    """Return an error's kind and the first paragraph of what it says."""
    text = str(error).strip().split("\n\n")[0]
    for aside in ASIDES:
        text = text.split(aside)[0]
    text = " ".join(text.split())
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]} …"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
