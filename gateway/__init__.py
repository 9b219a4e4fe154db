"""Sandbox Gateway: throw-away Linux machines over HTTP and WebSockets, on a Docker host."""

__version__ = "0.1.0"
