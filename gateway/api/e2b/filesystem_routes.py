"""E2B's `filesystem.Filesystem`: look at files, list them, and change what is where."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TypeVar

import orjson
from flask import Blueprint, Response

from gateway.api.bodies.file_content import or_broken_off
from gateway.api.bodies.streamed_answers import streamed
from gateway.api.e2b import watch_routes
from gateway.api.e2b.connect_rpc import URL_PREFIX, ConnectRpc, Message, RpcError
from gateway.api.e2b.entry_info import entry_info
from gateway.api.e2b.file_users import place_as, user_of_call
from gateway.api.e2b.paths_in_messages import SERVICE, path_in
from gateway.errors import AlreadyExists, NotDirectory, PathNotFound
from gateway.files.listing import Listing
from gateway.files.service import Files
from gateway.use.place import Place
from gateway.use.sandbox_use import SandboxUses

DEEPEST = 1 << 31

Value = TypeVar("Value")


def blueprint(
    rpc: ConnectRpc, files: Files, uses: SandboxUses, long_uses: SandboxUses
) -> Blueprint:
    """All procedures of the service; `long_uses` are for streams."""
    routes = Blueprint("e2b_filesystem", __name__, url_prefix=URL_PREFIX)
    _add_to(routes, rpc, files, uses)
    watch_routes.add_to(routes, rpc, files, uses, long_uses)
    rpc.otherwise(routes, SERVICE)
    return routes


def _add_to(routes: Blueprint, rpc: ConnectRpc, files: Files, uses: SandboxUses) -> None:

    def done(sandbox_id: str, work: Callable[[Place], Value]) -> Value:
        user = user_of_call()
        with uses.of(sandbox_id) as use:
            place = place_as(files, use.place, user)
            return rpc.until(lambda: work(place))

    def stat(sandbox_id: str, message: Message) -> Message:
        path = path_in(message, "path")
        try:
            found = done(sandbox_id, lambda place: files.stat(place, path, detailed=True))
        except NotDirectory:  # a part of the path is a file
            raise PathNotFound(_missing(message, "path")) from None
        except PathNotFound:
            raise PathNotFound(_missing(message, "path")) from None
        return {"entry": entry_info(found)}

    def list_directory(sandbox_id: str, message: Message) -> Response:
        user, path, depth = user_of_call(), path_in(message, "path"), _depth_in(message)
        with ExitStack() as held:
            place = place_as(files, held.enter_context(uses.of(sandbox_id)).place, user)
            listing = rpc.until(lambda: held.enter_context(files.tree(place, path, depth=depth)))
            return streamed(or_broken_off(_listed(listing)), held, "application/json")

    def make_directory(sandbox_id: str, message: Message) -> Message:
        path = path_in(message, "path")
        try:
            found, is_new = done(
                sandbox_id,
                lambda place: files.make_directory(place, path, parents=True, detailed=True),
            )
        except AlreadyExists:
            raise RpcError("invalid_argument", "there is no directory, but a file") from None
        except PathNotFound:
            raise RpcError("invalid_argument", "there is a link that leads nowhere") from None
        if not is_new:
            raise AlreadyExists(f"the directory {found['path']!r} is there already")
        return {"entry": entry_info(found)}

    def move(sandbox_id: str, message: Message) -> Message:
        source, target = path_in(message, "source"), path_in(message, "destination")
        found = done(
            sandbox_id,
            lambda place: files.move(
                place, source, target, overwrite=True, parents=True, detailed=True
            ),
        )
        return {"entry": entry_info(found)}

    def remove(sandbox_id: str, message: Message) -> Message:
        path = path_in(message, "path")
        try:
            done(sandbox_id, lambda place: files.delete(place, path, recursive=True))
        except (PathNotFound, NotDirectory):
            pass  # then it is not there, which is what was wanted
        return {}

    rpc.unary(routes, SERVICE, "Stat", stat)
    rpc.unary(routes, SERVICE, "ListDir", list_directory)
    rpc.unary(routes, SERVICE, "MakeDir", make_directory)
    rpc.unary(routes, SERVICE, "Move", move)
    rpc.unary(routes, SERVICE, "Remove", remove)


def _missing(message: Message, name: str) -> str:
    return f"path {message.get(name)!r} does not exist"


def _depth_in(message: Message) -> int:
    """How many levels are meant; 0 and none are one. Raises RpcError."""
    given = message.get("depth") or 0
    if isinstance(given, str) and given.isascii() and given.isdecimal():
        given = int(given[:10])
    if isinstance(given, bool) or not isinstance(given, int | float) or given != given // 1:
        raise RpcError("invalid_argument", "depth is no whole number")
    if given < 0:
        raise RpcError("invalid_argument", "depth is below 0")
    return int(min(given, DEEPEST)) or 1


def _listed(listing: Listing) -> Iterator[bytes]:
    before = b'{"entries":['
    for some in listing:
        if some:
            yield before + orjson.dumps([entry_info(entry) for entry in some])[1:-1]
            before = b","
    yield b"]}" if before == b"," else before + b"]}"
