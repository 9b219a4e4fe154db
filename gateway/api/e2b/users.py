"""As whom a call of the data plane works in its sandbox."""

from __future__ import annotations

import base64
import binascii
from typing import cast

from flask import request

from gateway.api.e2b.rpc_errors import RpcError
from gateway.schemas.models import User

DEFAULT: User = "user"
"""What clients call the sandbox's own user, whatever its name in the image."""

_KNOWN = ("user", "root")
_LONGEST_ECHO = 100


def user_of_request() -> User:
    """From `Authorization: Basic base64("<user>:")`; without it the default one. Raises RpcError
    for a user that no sandbox has. Whether it has root, tells who is asked to work as root."""
    given = request.headers.get("Authorization", "")
    scheme, _, packed = given.partition(" ")
    if scheme.lower() != "basic":
        return DEFAULT
    try:
        name = base64.b64decode(packed.strip(), validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        raise RpcError("unauthenticated", "the user in Authorization cannot be read") from None
    return known_user(name)


def known_user(name: str) -> User:
    """The user that is called so; "" is the default one. Raises RpcError."""
    if name == "":
        return DEFAULT
    if name not in _KNOWN:
        raise RpcError("unauthenticated", f"invalid username: {name[:_LONGEST_ECHO]!r}")
    return cast(User, name)
