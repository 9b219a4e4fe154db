"""Tools that keep the files of a sandbox, bring them back, and copy sandboxes."""

from __future__ import annotations

from gateway.api.asking.client_presence import leaving
from gateway.api.asking.request_owner import owner_of_request
from gateway.api.mcp.arguments import OfSandbox, Restore
from gateway.api.mcp.backend import Services
from gateway.api.mcp.places import Places
from gateway.api.mcp.tool import NUMBER, TEXT, Answer, Tool
from gateway.middleware import authentication
from gateway.schemas.models import SandboxCreate


class SnapshotTools:
    """The tools, over the services."""

    def __init__(self, services: Services, places: Places) -> None:
        self._snapshots = services.snapshots
        self._places = places

    def tools(self) -> list[Tool]:
        return [
            Tool(
                "snapshot",
                "Keep all files of a sandbox as they are now, for restore and create_sandbox.",
                OfSandbox,
                self._take,
                {"snapshot_id": TEXT, "size": NUMBER},
                audit="snapshot",
            ),
            Tool(
                "restore",
                "Bring a sandbox back to a snapshot; its commands end.",
                Restore,
                self._restore,
                {"sandbox_id": TEXT},
                audit="restore",
                destroys=True,
            ),
            Tool(
                "fork",
                "Copy a sandbox with its files into a new one.",
                OfSandbox,
                self._fork,
                {"sandbox_id": TEXT},
                audit="fork",
            ),
        ]

    def _take(self, asked: OfSandbox) -> Answer:
        with self._places.sandbox(asked.sandbox_id) as sandbox_id:
            taken = self._snapshots.taking.take(sandbox_id, name=None, labels={})
        return Answer({"snapshot_id": taken.snapshot_id, "size": taken.size_bytes})

    def _restore(self, asked: Restore) -> Answer:
        of_sandbox = authentication.caller().sandbox_id
        with (
            self._places.sandbox(asked.sandbox_id) as sandbox_id,
            self._places.snapshot(asked.snapshot),
        ):
            self._snapshots.restoring.restore(sandbox_id, asked.snapshot, of_sandbox=of_sandbox)
        return Answer({"sandbox_id": sandbox_id})

    def _fork(self, asked: OfSandbox) -> Answer:
        with self._places.sandbox(asked.sandbox_id) as sandbox_id:
            (copy,) = self._snapshots.forking.fork(
                sandbox_id,
                SandboxCreate(),
                1,
                owner=owner_of_request(),
                has_left=leaving(),
            )
        if copy.view is None:
            assert copy.error is not None
            raise copy.error
        return Answer({"sandbox_id": copy.view.sandbox_id})
