"""E2B's data plane of one sandbox, byte by byte."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
import struct
from contextlib import closing
from typing import Any
from urllib.parse import urlencode

import requests

from gateway.identity import envd_tokens
from tests.support.gateway_process import GatewayProcess


class Envd:
    """Calls it as the SDKs do."""

    def __init__(self, gateway: GatewayProcess, sandbox_id: str, token: str | None = None) -> None:
        """`token` is the one that a create has answered with; a native create gives none."""
        self.gateway = gateway
        self.sandbox_id = sandbox_id
        self.token = token or _token_of(gateway, sandbox_id)
        self.headers = {"E2b-Sandbox-Id": sandbox_id, "X-Access-Token": self.token}

    def call(self, method: str, message: Any = None, **headers: str) -> requests.Response:
        """One procedure of `filesystem.Filesystem`; bytes are sent as they are."""
        body = message if isinstance(message, bytes) else json.dumps(message or {}).encode()
        return self.gateway.post(
            f"/filesystem.Filesystem/{method}",
            data=body,
            headers={**self.headers, "Content-Type": "application/json", **headers},
        )

    def said(self, method: str, **message: Any) -> Any:
        """What a call that succeeds answers."""
        answer = self.call(method, message)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "application/json"
        return answer.json()

    def refused(self, method: str, **message: Any) -> tuple[int, str]:
        """Status and code of one that does not."""
        answer = self.call(method, message)
        said = answer.json()
        assert said.keys() >= {"code", "message"}, said
        return answer.status_code, said["code"]

    def get(self, path: str, **options: Any) -> requests.Response:
        headers = {**self.headers, **options.pop("headers", {})}
        query = urlencode({"path": path, **options.pop("query", {})})
        return self.gateway.get(f"/files?{query}", headers=headers, **options)

    def post(self, path: str | None, content: Any = None, **options: Any) -> requests.Response:
        """Upload `content` as it is, or what `files` says."""
        headers = {**self.headers, **options.pop("headers", {})}
        if "files" not in options:
            headers.setdefault("Content-Type", "application/octet-stream")
            options["data"] = content
        asked = {} if path is None else {"path": path}
        query = urlencode({**asked, **options.pop("query", {})})
        return self.gateway.post(f"/files?{query}", headers=headers, **options)

    def put(self, path: str, content: Any, **headers: str) -> dict[str, Any]:
        """Upload one file; what is said of it."""
        answer = self.post(path, content, headers=headers)
        assert answer.status_code == 200, answer.text
        [said] = answer.json()
        return said

    def signed(self, path: str, operation: str, expires_at: int | None = None, **user: str) -> str:
        """An address as the SDKs make it."""
        said = [path, operation, user.get("username", ""), self.token]
        query = {"path": path, **user}
        if expires_at is not None:
            said.append(str(expires_at))
            query["signature_expiration"] = str(expires_at)
        digest = hashlib.sha256(":".join(said).encode()).digest()
        query["signature"] = "v1_" + base64.b64encode(digest).rstrip(b"=").decode()
        return f"/files?{urlencode(query)}"


def enveloped(message: Any, flags: int = 0) -> bytes:
    body = json.dumps(message).encode()
    return struct.pack("!BI", flags, len(body)) + body


def messages_of(answer: requests.Response) -> Any:
    """(flags, message) of a stream, as they come."""
    raw = answer.raw
    while head := raw.read(5):
        flags, size = struct.unpack("!BI", head)
        yield flags, json.loads(raw.read(size))


def _token_of(gateway: GatewayProcess, sandbox_id: str) -> str:
    """As a gateway with this data directory gives it out."""
    with closing(sqlite3.connect(gateway.data_dir / "gateway.db", timeout=20)) as store, store:
        store.execute(
            "UPDATE sandboxes SET token_generation = coalesce(token_generation, 'ab')"
            " WHERE sandbox_id = ?",
            (sandbox_id,),
        )
        [generation] = store.execute(
            "SELECT token_generation FROM sandboxes WHERE sandbox_id = ?", (sandbox_id,)
        ).fetchone()
    secret = bytes.fromhex((gateway.data_dir / "token_secret").read_text().strip())
    return envd_tokens.token_of(secret, "envd", sandbox_id, generation)
