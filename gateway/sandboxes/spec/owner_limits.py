"""Whose sandboxes they are, and what this owner may have of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Owner:
    """The name of an API key, or "" where there are none. None: no limit of its own."""

    name: str = ""
    max_sandboxes: int | None = None
    max_cpus: float | None = None
    max_memory_mb: int | None = None
    has_neighbours: bool = False
    """Whether there are others, to whom it leaves a part of the host and of the queue."""


EVERYBODY = Owner()
"""Without API keys all sandboxes are one owner's."""
