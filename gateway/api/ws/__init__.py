"""The WebSocket surface. What it needs of the services behind it is in its signatures."""

from gateway.middleware.surfaces import Surface

WS = Surface("ws", max_body_bytes=0)
"""What is refused before the upgrade is answered as REST answers. A handshake has no body."""
