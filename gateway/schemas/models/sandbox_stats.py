"""What a sandbox uses."""

from __future__ import annotations

from pydantic import Field

from gateway.schemas.models.base import Answer


class Amount(Answer):
    """What is used and what may be."""

    used: float = Field(examples=[104857600])
    limit: float | None = Field(description="Null: not limited.", examples=[1073741824])


class CpuUsage(Answer):
    """Use of the CPU."""

    cores: float = Field(description="In use over a fraction of a second.", examples=[0.25])
    limit: float = Field(description="Cores.", examples=[1.0])
    total_s: float = Field(description="Seconds of CPU since it was made.", examples=[12.5])


class NetworkUsage(Answer):
    """Bytes since it was made."""

    received_bytes: int = Field(examples=[1024])
    sent_bytes: int = Field(examples=[1024])


class SandboxStats(Answer):
    """What a sandbox uses now, and its limits."""

    cpu: CpuUsage
    memory_bytes: Amount
    pids: Amount
    disk_bytes: Amount | None = Field(description="Null where the engine does not say.")
    network: NetworkUsage
