"""How often a test of chance repeats itself: a few times, or as often as `scripts/soak` wants."""

from __future__ import annotations

import os


def rounds(usually: int, soaking: int) -> int:
    """`soaking` under `scripts/soak`, which has hours; `usually` otherwise."""
    return soaking if os.environ.get("SOAK") else usually
