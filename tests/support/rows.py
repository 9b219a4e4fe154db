"""Rows of the store, as tests need them: everything usual but for what a test says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.store.rows import SandboxRow

USUAL = SandboxRow(
    sandbox_id="s",
    state="starting",
    container_id=None,
    worker_id="maker",
    created_at=1.0,
    ip_address=None,
    idle_since=10.0,
    boot_id="boot",
    end_reason=None,
    lease_count=0,
    born=10.0,
    image="image",
    cpus=1.0,
    memory_mb=100,
    pids=64,
    labels={},
)


def row_of(**changed: Any) -> SandboxRow:
    """The usual row with these fields changed."""
    return replace(USUAL, **changed)
