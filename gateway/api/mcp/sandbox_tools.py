"""Tools that make, show and end sandboxes, and lead to their servers."""

from __future__ import annotations

from typing import Any

from gateway.api.asking.client_presence import leaving
from gateway.api.asking.request_owner import owner_of_request
from gateway.api.mcp.arguments import CreateSandbox, ListSandboxes, OfSandbox, PortUrl
from gateway.api.mcp.backend import Defaults, SandboxView, Services
from gateway.api.mcp.budget import cost
from gateway.api.mcp.failures import ToolFailed
from gateway.api.mcp.places import Places
from gateway.api.mcp.tool import NUMBER_OR_NULL, TEXT, YES_OR_NO, Answer, Tool
from gateway.errors import FeatureMissing
from gateway.middleware import authentication
from gateway.schemas.models import SandboxCreate

AROUND = 300
"""Characters of a list besides its entries."""

AROUND_ENTRY = 100


class SandboxTools:
    """The tools, over the services."""

    def __init__(self, services: Services, places: Places, defaults: Defaults) -> None:
        self._services = services
        self._places = places
        self._defaults = defaults

    def tools(self) -> list[Tool]:
        return [
            Tool(
                "create_sandbox",
                "Make a Linux machine to run commands in. It stays until it is idle for long or "
                "deleted.",
                CreateSandbox,
                self._create,
                {"sandbox_id": TEXT},
                audit="create",
            ),
            Tool(
                "list_sandboxes",
                "List your sandboxes, newest first.",
                ListSandboxes,
                self._list,
                {
                    "sandboxes": {"type": "array", "items": {"type": "object"}},
                    "truncated": YES_OR_NO,
                    "next_offset": NUMBER_OR_NULL,
                },
            ),
            Tool(
                "delete_sandbox",
                "End a sandbox and all in it.",
                OfSandbox,
                self._delete,
                {"sandbox_id": TEXT},
                audit="delete",
                destroys=True,
            ),
        ]

    def port_tool(self) -> Tool:
        return Tool(
            "port_url",
            "A URL that opens a server in the sandbox from outside, for a time.",
            PortUrl,
            self._port_url,
            {"url": TEXT, "host_url": TEXT, "listening": YES_OR_NO},
            frozenset(("host_url",)),
            audit="port_token_issue",
        )

    def _create(self, asked: CreateSandbox) -> Answer:
        try:
            wanted = SandboxCreate(snapshot=asked.snapshot)
        except ValueError:
            raise ToolFailed(
                "snapshot must be the id or the name of a snapshot, as the tool snapshot gives it."
            ) from None
        with self._places.snapshot(asked.snapshot or ""):
            created = self._services.creation.create(
                wanted, owner=owner_of_request(), key=None, has_left=leaving()
            )
        return Answer({"sandbox_id": created.view.sandbox_id})

    def _list(self, asked: ListSandboxes) -> Answer:
        owner = authentication.caller().name or None
        found, _ = self._services.sandboxes.list(
            status=None, labels={}, limit=None, after=None, owner=owner
        )
        room = self._defaults.budget(None) - AROUND
        shown: list[dict[str, Any]] = []
        newest_first = found[::-1][asked.offset :]
        for one in newest_first[: asked.limit]:
            said = _said(one)
            room -= AROUND_ENTRY + sum(cost(str(value)) for value in said.values())
            if room < 0:
                break
            shown.append(said)
        more = len(newest_first) > len(shown)
        next_offset = asked.offset + len(shown) if more else None
        return Answer({"sandboxes": shown, "truncated": more, "next_offset": next_offset})

    def _delete(self, asked: OfSandbox) -> Answer:
        with self._places.sandbox(asked.sandbox_id) as sandbox_id:
            self._services.changes.delete(sandbox_id)
        return Answer({"sandbox_id": sandbox_id})

    def _port_url(self, asked: PortUrl) -> Answer:
        with self._places.use(asked.sandbox_id) as use:
            place = use.place
            try:
                listening = self._services.waiting.until(
                    lambda: self._services.is_listening(place.container_id, asked.port)
                )
            except FeatureMissing:
                listening = True  # it cannot be known: the address is right in any case
            address = self._services.port_address(place.sandbox_id, asked.port)
        said: dict[str, Any] = {"url": address.url, "listening": listening}
        if address.host_url is not None:
            said["host_url"] = address.host_url
        return Answer(said)


def _said(sandbox: SandboxView) -> dict[str, Any]:
    said: dict[str, Any] = {
        "sandbox_id": sandbox.sandbox_id,
        "status": sandbox.status,
        "created_at": round(sandbox.created_at, 3),
        "image": sandbox.image,
    }
    return said if sandbox.name is None else said | {"name": sandbox.name}
