"""What a sandbox is made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.engine.interface import Isolation, Limits


@dataclass(frozen=True)
class SandboxSpec:
    """What a sandbox is made with. `network` is the client's word: `bridge` or `none`."""

    image: str
    isolation: Isolation
    network: str
    limits: Limits
    env: Mapping[str, str]
    labels: Mapping[str, str]
    timeout_s: float | None
    idle_timeout_s: float
    idle_action: str
