"""The Model Context Protocol: tools by which a model's client works in sandboxes.

It stands on the same services as REST and WebSockets, and keeps nothing between two requests. The
types of the protocol are `mcp-types`; the servers of its SDK are ASGI applications, which do not
run in a gevent worker.
"""

from __future__ import annotations

from collections.abc import Collection

from flask import Flask

from gateway.api.mcp import routes
from gateway.api.mcp.backend import Defaults, Services
from gateway.api.mcp.methods import Methods
from gateway.api.mcp.toolbox import Toolbox, tools_of
from gateway.middleware.surfaces import Surface

__all__ = ["MCP", "Defaults", "Services", "register"]

MCP = Surface("mcp")
"""What is refused before a message was read is a problem document, as over REST."""


def register(app: Flask, services: Services, defaults: Defaults, allowed: Collection[str]) -> None:
    """Give `app`, where `surfaces.install` has been called, the route `/mcp` with the `allowed`
    tools; without any it does not exist."""
    MCP.register(app, routes.discovery())
    if allowed:
        toolbox = Toolbox(tools_of(services, defaults), allowed)
        MCP.register(app, routes.blueprint(Methods(toolbox)))
