"""As whom files of a sandbox are looked at and written."""

from __future__ import annotations

from flask import request

from gateway.api.e2b import users
from gateway.api.e2b.rpc_errors import RpcError
from gateway.errors import Unauthorized, UserUnavailable
from gateway.files.service import Files
from gateway.schemas.models import User
from gateway.use.place import Place


def user_of_call() -> User:
    """Whom the current call names. Raises RpcError."""
    return users.user_of_request()


def user_in_query() -> User:
    """Whom `?username=` names. Raises Unauthorized."""
    try:
        return users.known_user(request.args.get("username", ""))
    except RpcError as error:
        raise Unauthorized(error.message) from None


def place_as(files: Files, place: Place, user: User) -> Place:
    """Where that user's files are. Raises Unauthorized."""
    try:
        return files.place(place, user)
    except UserUnavailable as error:
        raise Unauthorized(f"invalid username: {error.detail}") from None
