"""The WebSocket surface. What it needs of the services behind it is in its signatures."""
