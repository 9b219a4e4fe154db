"""Access tokens: signed (HMAC-SHA256), for one sandbox, for a limited time, revocable.

A token is made of letters, digits, `-`, `_` and `.` only, so that it may stand in a header as a
`token` of RFC 7230, section 3.2.6: browsers can pass it as a WebSocket subprotocol.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from itsdangerous import BadData, URLSafeSerializer

from gateway.identity import envd_tokens
from gateway.identity.keys import PORT_TOKEN_PREFIX, TOKEN_PREFIX

LONGEST_TOKEN = 1024


@dataclass(frozen=True)
class Claim:
    """What a token says. `generation` is the one of its sandbox's tokens; when that is renewed,
    all tokens that were issued before are worthless."""

    sandbox_id: str
    generation: str = field(repr=False)
    expires_at: int
    """Seconds since the epoch."""


@dataclass(frozen=True)
class PortClaim(Claim):
    """What the token of a port says. It opens nothing else of the sandbox."""

    port: int = 0


NEVER = 2**53
"""When a token ends that lives as long as its sandbox, in seconds since the epoch."""


class TokenSigner:
    """Writes tokens and reads them."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._serializer = _serializer(secret, "sandbox-gateway.access-token")
        self._of_ports = _serializer(secret, "sandbox-gateway.port-token")

    def sign(self, claim: Claim) -> str:
        """The token that says so."""
        said = self._serializer.dumps([claim.sandbox_id, claim.generation, claim.expires_at])
        return TOKEN_PREFIX + said

    def read(self, token: str, *, now: float) -> Claim | None:
        """What a token says, if this gateway has signed it and it has not expired at `now`.

        The signature is compared in constant time, before anything of it is decoded.
        """
        if len(token) > LONGEST_TOKEN or not token.startswith(TOKEN_PREFIX):
            return None
        try:
            sandbox_id, generation, expires_at = self._serializer.loads(
                token.removeprefix(TOKEN_PREFIX)
            )
        except (BadData, ValueError):  # ValueError: not ASCII
            return None
        return Claim(sandbox_id, generation, expires_at) if now < expires_at else None

    def sign_port(self, claim: PortClaim) -> str:
        """The token of a port that says so."""
        said = [claim.sandbox_id, claim.generation, claim.expires_at, claim.port]
        return PORT_TOKEN_PREFIX + self._of_ports.dumps(said)

    def read_port(self, token: str, *, now: float) -> PortClaim | None:
        """What the token of a port says; see `read`."""
        if len(token) > LONGEST_TOKEN or not token.startswith(PORT_TOKEN_PREFIX):
            return None
        try:
            sandbox_id, generation, expires_at, port = self._of_ports.loads(
                token.removeprefix(PORT_TOKEN_PREFIX)
            )
        except (BadData, ValueError):
            return None
        return PortClaim(sandbox_id, generation, expires_at, port) if now < expires_at else None

    def of_e2b(self, kind: envd_tokens.Kind, sandbox_id: str, generation: str) -> str:
        """The one token of its kind that a generation of a sandbox has."""
        return envd_tokens.token_of(self._secret, kind, sandbox_id, generation)


def _serializer(secret: bytes, salt: str) -> URLSafeSerializer:
    """Tokens of one kind are none of another: their keys differ by the salt."""
    return URLSafeSerializer(
        secret,
        salt=salt,
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )
