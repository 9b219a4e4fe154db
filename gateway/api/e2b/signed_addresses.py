"""Addresses of files that carry a signature in the place of a token."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol

from flask import request

from gateway import clock
from gateway.errors import Unauthorized
from gateway.identity.caller import Caller
from gateway.identity.file_signatures import Operation, SignedFile, signer_of
from gateway.middleware import authentication
from gateway.middleware.e2b_target import e2b_target
from gateway.process.slices_of_work import SLICE, slice_of_work

_SECONDS = re.compile(r"[0-9]{1,12}")


class Tokens(Protocol):
    """See `gateway.identity.access.Access`."""

    def e2b_token(self, sandbox_id: str) -> str: ...

    def e2b_tokens(self) -> Iterator[tuple[str, str]]: ...

    def owner_at(self, sandbox_id: str) -> Caller: ...


class SignedAddresses:
    """Finds out which sandbox an address is for, and lets its owner in."""

    def __init__(self, tokens: Tokens, require_awake: Callable[[str], None]) -> None:
        """`require_awake` raises SandboxNotFound for a paused sandbox that is not to be woken."""
        self._tokens = tokens
        self._require_awake = require_awake

    def sandbox_of(self, operation: Operation) -> str:
        """The sandbox whose token has signed the current request's address for this. Raises
        Unauthorized, also when it is late, SandboxNotFound and RateLimited."""
        query = request.args
        expires_at = query.get("signature_expiration")
        if expires_at is not None and not _SECONDS.fullmatch(expires_at):
            raise Unauthorized("unauthorized access, the end of the signature is no time")
        file = SignedFile(query.get("path", ""), operation, query.get("username", ""), expires_at)
        # A plus that was not encoded reads as a space.
        shown = query.get("signature", "").replace(" ", "+")
        sandbox_id = self._signer_of(file, shown)
        if sandbox_id is None:
            raise Unauthorized("unauthorized access, the signature is not valid")
        if file.has_expired(clock.wall_s()):
            raise Unauthorized("signature is already expired")
        authentication.let_in(self._tokens.owner_at(sandbox_id))
        self._require_awake(sandbox_id)
        return sandbox_id

    def _signer_of(self, file: SignedFile, shown: str) -> str | None:
        target = e2b_target()
        if target is not None and target.sandbox_id:
            named = target.sandbox_id
            return signer_of(file, shown, [(named, self._tokens.e2b_token(named))])
        left, found = self._tokens.e2b_tokens(), None
        while True:
            with slice_of_work():
                some = list(islice(left, SLICE))
                found = signer_of(file, shown, some) or found
            if len(some) < SLICE:
                return found
