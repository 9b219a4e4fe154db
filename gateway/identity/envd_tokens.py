"""The tokens that E2B's clients show: one of each kind per sandbox, made from the gateway's secret.

Nothing of them is kept. A token is the id of its sandbox and an HMAC-SHA256 over the kind, the id
and the generation of the sandbox's tokens, both as lower-case hexadecimal digits: so it stays the
same for the sandbox's life, and ends when its owner revokes the sandbox's tokens.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Literal

Kind = Literal["envd", "traffic"]
"""`envd` opens files and commands of its sandbox, `traffic` its ports."""

_TOKEN = re.compile(r"([a-z0-9]{1,64})([0-9a-f]{64})")


def token_of(secret: bytes, kind: Kind, sandbox_id: str, generation: str) -> str:
    """The token of a sandbox."""
    said = f"sandbox-gateway.e2b-{kind}\0{sandbox_id}\0{generation}".encode()
    return sandbox_id + hmac.new(secret, said, hashlib.sha256).hexdigest()


def sandbox_id_in(token: str) -> str | None:
    """The sandbox that something would be the token of; None for what can be no token."""
    found = _TOKEN.fullmatch(token)
    return None if found is None else found[1]


def is_same(token: str, shown: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(token.encode(), shown.encode("utf-8", "surrogatepass"))
