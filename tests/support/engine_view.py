"""The engine as it looks from outside the gateway: what exists, and what runs in it."""

from __future__ import annotations

from typing import Any

import docker
import psutil
from docker.errors import APIError, NotFound

from scripts.lib import snapshot_remains

INSTANCE_LABEL = "io.sandbox-gateway.instance"
SANDBOX_LABEL = "io.sandbox-gateway.sandbox-id"
UID_LABEL = "io.sandbox-gateway.uid"

UIDS = range(65536, 100000)
"""SANDBOX_UIDS, unless a test sets it."""

POOL_PREFIX = "sandbox-pool-"
"""Of the names of containers that stand ready; one that is taken is renamed a moment later."""

AGENT, CARRIER = "sbxgwd", "sbxgwl"
"""Their names (`gateway/agent/entry.py`)."""


class EngineView:
    """Looks at the containers of one gateway. Never touches those of others.

    The engine is the machine's own, or that at `url`.
    """

    def __init__(self, instance: str, url: str | None = None) -> None:
        self._instance = instance
        self.api = docker.APIClient(url, version="auto", timeout=60)

    def containers(self) -> dict[str, str]:
        """Container ids by sandbox id, whatever their state; without those of the pool."""
        return self._found(pooled=False)

    def pooled(self) -> dict[str, str]:
        """Those of the pool: container ids by the id that each sandbox will have."""
        return self._found(pooled=True)

    def _found(self, *, pooled: bool) -> dict[str, str]:
        return {
            entry["Labels"][SANDBOX_LABEL]: entry["Id"]
            for entry in self._entries()
            if _is_pooled(entry) == pooled
        }

    def _entries(self, **labels: str) -> list[dict[str, Any]]:
        wanted = {INSTANCE_LABEL: self._instance, **labels}
        listed = self.api.containers(
            all=True, filters={"label": [f"{name}={value}" for name, value in wanted.items()]}
        )
        return [entry for entry in listed if entry["State"] != "removing" or self._exists(entry)]

    def _exists(self, entry: dict[str, Any]) -> bool:
        """Whether the engine knows what it lists: an exec that ends while its container is removed
        leaves an entry, without a name, until the engine is restarted (20.10)."""
        try:
            self.api.inspect_container(entry["Id"])
        except NotFound:
            return False
        return True

    def container_of(self, sandbox_id: str) -> str:
        """The id of a sandbox's container, whether or not it still has the pool's name."""
        found = self._entries(**{SANDBOX_LABEL: sandbox_id})
        if not found:
            raise KeyError(sandbox_id)
        return found[0]["Id"]

    def inspect(self, sandbox_id: str) -> dict[str, Any]:
        """What `docker inspect` says."""
        return self.api.inspect_container(self.container_of(sandbox_id))

    def uid_of(self, sandbox_id: str) -> str:
        """The user that its commands run as: never root, and of this gateway's own choice."""
        uid = self.inspect(sandbox_id)["Config"]["Labels"][UID_LABEL]
        assert int(uid) in (1000, *UIDS)
        return uid

    def remove(self, sandbox_id: str) -> None:
        """`docker rm -f`, behind the gateway's back."""
        self.api.remove_container(self.container_of(sandbox_id), force=True, v=True)

    def remove_all(self) -> None:
        """All containers of this gateway, those of the pool too, and what it kept of snapshots."""
        for entry in self._entries():
            try:
                self.api.remove_container(entry["Id"], force=True, v=True)
            except NotFound:
                pass
            except APIError as error:
                if error.status_code != 409:  # its removal is in progress already
                    raise
        snapshot_remains.remove_names(self.api, self._instance.__eq__)
        snapshot_remains.remove_files(self.api.info()["DockerRootDir"], self._instance.__eq__)

    def processes(self, sandbox_id: str) -> list[psutil.Process]:
        """All processes in a sandbox, as the host sees them."""
        top = self.api.top(self.container_of(sandbox_id), ps_args="-o pid")
        found = []
        for row in top["Processes"] or []:
            try:
                found.append(psutil.Process(int(row[0])))
            except psutil.NoSuchProcess:
                pass
        return found

    def command_lines(self, sandbox_id: str) -> list[list[str]]:
        """Of all processes in a sandbox that are not about to end."""
        found = []
        for process in self.processes(sandbox_id):
            try:
                found.append(process.cmdline())
            except psutil.NoSuchProcess:  # a zombie is one of these
                pass
        return found

    def carriers(self, sandbox_id: str) -> list[psutil.Process]:
        """The docker exec processes behind the links to a sandbox's agent."""
        return self._called(sandbox_id, CARRIER)

    def agents(self, sandbox_id: str) -> list[psutil.Process]:
        """The agent."""
        return self._called(sandbox_id, AGENT)

    def _called(self, sandbox_id: str, name: str) -> list[psutil.Process]:
        found = []
        for process in self.processes(sandbox_id):
            try:
                if process.cmdline()[:1] == [name]:
                    found.append(process)
            except psutil.Error:
                pass
        return found

    def close(self) -> None:
        self.api.close()


def _is_pooled(entry: dict[str, Any]) -> bool:
    return any(name.startswith("/" + POOL_PREFIX) for name in entry["Names"] or [])
