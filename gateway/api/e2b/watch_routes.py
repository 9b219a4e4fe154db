"""E2B's watches of directories: as a stream, or kept and asked for what they have seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Blueprint

from gateway.api.e2b.connect_rpc import ConnectRpc, Message, Messages, RpcError
from gateway.api.e2b.entry_info import entry_info
from gateway.api.e2b.file_users import place_as, user_of_call
from gateway.api.e2b.paths_in_messages import SERVICE, path_in
from gateway.api.e2b.users import DEFAULT, known_user
from gateway.errors import WatchNotFound
from gateway.files.entries import Entry
from gateway.files.kept_watches import LONGEST_NAME, KeptWatches
from gateway.files.service import Files
from gateway.schemas.models import User
from gateway.use.place import Place
from gateway.use.sandbox_use import SandboxUses

Value = TypeVar("Value")

_TYPES = {
    "created": "EVENT_TYPE_CREATE",
    "written": "EVENT_TYPE_WRITE",
    "removed": "EVENT_TYPE_REMOVE",
    "left": "EVENT_TYPE_RENAME",
    "attributes": "EVENT_TYPE_CHMOD",
}

_OF_USER = "."
"""Between the user and the name, in the id of a watch that is not the default user's."""

_KEEPALIVE: Message = {"keepalive": {}}
_LOST = "events were lost: more happened than was asked for or read"


def add_to(
    routes: Blueprint,
    rpc: ConnectRpc,
    files: Files,
    uses: SandboxUses,
    long_uses: SandboxUses,
) -> None:
    """Give `routes` the procedures of watches; `long_uses` are for streams."""
    kept = KeptWatches(files)

    def done(sandbox_id: str, user: User, work: Callable[[Place], Value]) -> Value:
        with uses.of(sandbox_id) as use:
            place = place_as(files, use.place, user)
            return rpc.until(lambda: work(place))

    def watch(sandbox_id: str, message: Message) -> Messages:
        return _told(long_uses, files, sandbox_id, user_of_call(), _asked(message))

    def create(sandbox_id: str, message: Message) -> Message:
        user, (path, recursive, detailed) = user_of_call(), _asked(message)
        name = done(
            sandbox_id,
            user,
            lambda place: kept.keep(place, path, recursive=recursive, detailed=detailed),
        )
        return {"watcherId": name if user == DEFAULT else f"{user}{_OF_USER}{name}"}

    def get_events(sandbox_id: str, message: Message) -> Message:
        user, name = _watch_in(message)
        root, told = done(sandbox_id, user, lambda place: kept.events(place, name))
        return {"events": [_event(root, one) for one in told]}

    def remove(sandbox_id: str, message: Message) -> Message:
        user, name = _watch_in(message)
        done(sandbox_id, user, lambda place: kept.forget(place, name))
        return {}

    rpc.server_stream(routes, SERVICE, "WatchDir", watch, keepalive=_KEEPALIVE)
    rpc.unary(routes, SERVICE, "CreateWatcher", create)
    rpc.unary(routes, SERVICE, "GetWatcherEvents", get_events)
    rpc.unary(routes, SERVICE, "RemoveWatcher", remove)


def _told(
    uses: SandboxUses, files: Files, sandbox_id: str, user: User, asked: tuple[bytes, bool, bool]
) -> Messages:
    path, recursive, detailed = asked
    with (
        uses.of(sandbox_id) as use,
        files.watch_plainly(
            place_as(files, use.place, user), path, recursive=recursive, detailed=detailed
        ) as watching,
    ):
        yield {"start": {}}
        for events in watching.events():
            for event in events:
                yield {"filesystem": _event(watching.path, event)}


def _event(root: str, event: Entry) -> dict[str, Any]:
    """One event, named from the watched directory on. Raises RpcError where some were lost."""
    if event["type"] == "overflow":
        raise RpcError("resource_exhausted", _LOST)
    name = event["path"].removeprefix(root).lstrip("/") or "."
    told = {"name": name, "type": _TYPES[event["event"]]}
    if "stat" in event:
        told["entry"] = entry_info(event["stat"])
    return told


def _asked(message: Message) -> tuple[bytes, bool, bool]:
    """The path, whether what is below is meant too, and whether entries are asked for."""
    for name in ("recursive", "includeEntry", "allowNetworkMounts"):
        if not isinstance(message.get(name) or False, bool):
            raise RpcError("invalid_argument", f"{name} is neither true nor false")
    return (
        path_in(message, "path"),
        bool(message.get("recursive")),
        bool(message.get("includeEntry")),
    )


def _watch_in(message: Message) -> tuple[User, str]:
    """Whose watch is meant, which old clients say nowhere else, and its name. Raises RpcError, and
    WatchNotFound."""
    given = message.get("watcherId")
    if not isinstance(given, str):
        raise WatchNotFound()
    user, mark, name = given.rpartition(_OF_USER)
    if not 0 < len(name) <= LONGEST_NAME:
        raise WatchNotFound()
    return known_user(user) if mark else DEFAULT, name
