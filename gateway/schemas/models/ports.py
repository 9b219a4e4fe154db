"""Messages about servers in sandboxes."""

from __future__ import annotations

from pydantic import Field

from gateway.schemas.models.base import Answer, Request

LONGEST_TTL_S = 366 * 86400


class PortProcess(Answer):
    """Whoever listens, as the sandbox says."""

    pid: int = Field(description="Within the sandbox.", examples=[42])
    name: str = Field(examples=["python3"])
    command: str = Field(
        description="Its arguments, with spaces between them.",
        examples=["python3 -m http.server 8000"],
    )


class ListeningPort(Answer):
    """A TCP port on which a server listens."""

    port: int = Field(examples=[8000])
    addresses: list[str] = Field(
        description="On which it listens. `0.0.0.0` and `::` are all.", examples=[["127.0.0.1"]]
    )
    process: PortProcess | None = Field(description="Null when it is not the user's own.")


class PortTokenRequest(Request):
    """Body of `POST /sandboxes/{sandbox_id}/ports/{port}/token`. It may be empty."""

    ttl: float | None = Field(
        None,
        ge=1,
        le=LONGEST_TTL_S,
        description="Seconds that the address is valid; at most `SANDBOX_TOKEN_TTL`. Default: "
        "`SANDBOX_PORT_TOKEN_TTL`.",
        examples=[600],
    )


class PortToken(Answer):
    """An address of a port that works without a key."""

    url: str = Field(
        description="By path. Pages are shown without cookies and storage.",
        examples=["http://localhost:8003/sandboxes/5f0c6d0f/ports/8000/sgp_WyI1ZjBj.x1Yb3k/"],
    )
    host_url: str | None = Field(
        description="Under a host of its own, for applications. Null where no such host leads to "
        "the gateway (`SANDBOX_PORTS_DOMAIN`).",
        examples=["http://8000-5f0c6d0f.localhost:8003/?port_token=sgp_WyI1ZjBj.x1Yb3k"],
    )
    token: str = Field(examples=["sgp_WyI1ZjBj.x1Yb3k"])
    expires_at: float = Field(description="Seconds since the epoch.", examples=[1648457634.0])
