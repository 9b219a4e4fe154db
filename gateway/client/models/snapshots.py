"""Snapshots of sandboxes' files."""

from __future__ import annotations

from dataclasses import dataclass, field

from .answer import Answer


@dataclass(frozen=True)
class Snapshot(Answer):
    """All files of a sandbox, as they were at `created_at` (seconds since the epoch). `kind` is
    `kept`, or `checkpoint` for one that was taken before a command."""

    snapshot_id: str
    sandbox_id: str
    name: str | None
    created_at: float
    size_bytes: int
    image: str
    disk_mb: int
    kind: str
    losses: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
