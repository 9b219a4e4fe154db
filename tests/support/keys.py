"""API keys for tests, and requests that carry them."""

from __future__ import annotations

ALICE = "sgk_alice-0123456789abcdefghijklmnopqrstuv"
BOB = "sgk_bob-0123456789abcdefghijklmnopqrstuvwxy"
NOBODYS = "sgk_nobody-0123456789abcdefghijklmnopqrstu"

INLINE = f"alice:{ALICE},bob:{BOB}"
"""For SANDBOX_API_KEYS."""

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
"""Of a WebSocket, as plain headers."""


def bearer(secret: str) -> dict[str, str]:
    """The header that carries a key or token."""
    return {"Authorization": f"Bearer {secret}"}
