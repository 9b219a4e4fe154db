"""Signatures of addresses of files, which E2B's clients make themselves of a sandbox's token.

`v1_` and a SHA-256 over path, operation, user, token and, where it has an end, that, between
colons; as base64 without padding.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Operation = Literal["read", "write"]


@dataclass(frozen=True)
class SignedFile:
    """What an address says that it is for. `path` and `user` are as they were given; `expires_at`
    is seconds since the epoch, in digits."""

    path: str
    operation: Operation
    user: str
    expires_at: str | None

    def signature(self, token: str) -> str:
        """That of whoever has the token."""
        said = [self.path, self.operation, self.user, token]
        if self.expires_at is not None:
            said.append(self.expires_at)
        raw = ":".join(said).encode("utf-8", "surrogatepass")
        return "v1_" + base64.b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()

    def has_expired(self, now: float) -> bool:
        """At `now`, seconds since the epoch."""
        return self.expires_at is not None and int(self.expires_at) < int(now)


def signer_of(file: SignedFile, shown: str, tokens: Iterable[tuple[str, str]]) -> str | None:
    """The sandbox, of those with their tokens, whose token has made a signature. Each is compared
    in constant time, and all are."""
    found = None
    given = shown.encode("utf-8", "surrogatepass")
    for sandbox_id, token in tokens:
        if hmac.compare_digest(file.signature(token).encode(), given):
            found = sandbox_id
    return found
