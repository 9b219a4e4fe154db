"""A gateway, and what it has."""

from __future__ import annotations

import builtins
from collections.abc import Generator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..core import sandbox_calls, snapshot_calls
from ..core.address import Address
from ..core.followed_events import follow_events
from ..core.retrying import TIMEOUT_S, Retrying
from ..core.sandbox_calls import SandboxOptions
from ..core.steps import Answer, Request
from ..models.sandboxes import Event, SandboxInfo
from ..models.snapshots import Snapshot
from .driver import Driver
from .sandbox import Sandbox

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


class Gateway:
    """A gateway at `url`, by default that of GATEWAY_URL or http://localhost:8003; `key` is an API
    key or an access token, by default GATEWAY_KEY.

    `timeout` seconds is for how long a request that is refused for the moment (429, 503), or whose
    connection breaks, is sent again. `language` is that of messages: `en`, `it`, `zh`. May be used
    by several threads. Close it, or use it in a `with`. Raises BadAddress.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: float = TIMEOUT_S,
        language: str | None = None,
    ) -> None:
        address = Address.of(url, key, language)
        self.url = address.url
        self._driver = self._made_driver(address, Retrying(timeout))
        self.snapshots = Snapshots(self._driver)

    def _made_driver(self, address: Address, retrying: Retrying) -> Driver:
        from .httpx_driver import HttpxDriver

        return HttpxDriver(address, retrying)

    def close(self) -> None:
        """Close its connections. Sandboxes and commands go on. May be repeated."""
        self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- sandboxes -------------------------------------------------------------------------------

    def create(self, **options: Unpack[SandboxOptions]) -> Sandbox:
        """Make a sandbox. In a `with` it is deleted at the end. Retried, it is still one."""
        made = self._driver.call(sandbox_calls.create(self._driver.retrying, options))
        return Sandbox(self._driver, made.sandbox_id, made.access_token, is_deleted_at_end=True)

    def connect(self, sandbox: str) -> Sandbox:
        """A sandbox that is there, by id or name. Its `with` does not delete it. Raises
        SandboxNotFound."""
        found = self._driver.call(sandbox_calls.show(self._driver.retrying, sandbox))
        return Sandbox(self._driver, found.sandbox_id)

    def sandbox(self, sandbox: str) -> Sandbox:
        """The same, without asking whether it is there."""
        return Sandbox(self._driver, sandbox)

    def sandboxes(
        self, *, status: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[SandboxInfo]:
        """All that the key has, oldest first; all of `labels` must fit."""
        return self._driver.call(
            sandbox_calls.find_all(self._driver.retrying, status=status, labels=labels)
        )

    def events(self, *, after: int | None = None) -> list[Event]:
        """What has happened to all sandboxes in the last days, oldest first."""
        return self._driver.call(sandbox_calls.events(self._driver.retrying, None, after=after))

    def follow_events(self, *, after: int | None = None) -> Generator[Event, None, None]:
        """What happens from now on or, with `after`, since that event. Does not end."""
        return self._driver.follow(follow_events(self._driver.retrying, None, after=after))

    # --- the gateway itself ----------------------------------------------------------------------

    def ready(self) -> dict[str, Any]:
        """Whether sandboxes can be served. Raises NotReady."""
        answer = self._driver.call(self._driver.retrying.exchange(Request("GET", "/readyz")))
        found: dict[str, Any] = answer.json()
        return found

    def request(self, method: str, path: str, json: Any = None) -> Answer:
        """Whatever else the API has: `path` with its query. Sent again only where it is not known
        to have arrived. Raises ApiError."""
        is_repeatable = method.upper() in ("GET", "HEAD", "OPTIONS")
        return self._driver.call(
            self._driver.retrying.exchange(
                Request(method.upper(), path, json=json, is_repeatable=is_repeatable)
            )
        )


class Snapshots:
    """All snapshots of the key's owner."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def list(
        self, *, sandbox: str | None = None, labels: Mapping[str, str] | None = None
    ) -> builtins.list[Snapshot]:
        """Oldest first; those of one sandbox, or of all."""
        return self._driver.call(
            snapshot_calls.find_all(self._driver.retrying, sandbox=sandbox, labels=labels)
        )

    def get(self, snapshot: str) -> Snapshot:
        """By id or name. Raises SnapshotNotFound."""
        return self._driver.call(snapshot_calls.show(self._driver.retrying, snapshot))

    def delete(self, snapshot: str) -> None:
        """Sandboxes that were made from it stay as they are."""
        self._driver.call(snapshot_calls.delete(self._driver.retrying, snapshot))
