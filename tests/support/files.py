"""Files of a sandbox over REST."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import requests

from tests.support.gateway_process import GatewayProcess
from tests.support.problems import problem_of
from tests.support.rest_commands import result_of


class SandboxFiles:
    """The files of one sandbox, and a shell to look at them from inside."""

    def __init__(self, gateway: GatewayProcess, sandbox_id: str) -> None:
        self.gateway = gateway
        self.sandbox_id = sandbox_id
        self.base = f"/sandboxes/{sandbox_id}/files"

    def address(self, path: str | bytes, rest: str = "", **query: object) -> str:
        """Of a route below `files`; a path of bytes goes as base64."""
        if isinstance(path, bytes):
            named = f"path_b64={quote(base64.b64encode(path).decode(), safe='')}"
        else:
            named = f"path={quote(path, safe='')}"
        more = "".join(f"&{name}={quote(str(value), safe='')}" for name, value in query.items())
        return f"{self.base}{rest}?{named}{more}"

    def get(self, path: str | bytes, rest: str = "", **options: Any) -> requests.Response:
        query = options.pop("query", {})
        return self.gateway.get(self.address(path, rest, **query), **options)

    def put(self, path: str | bytes, content: Any = b"", **options: Any) -> requests.Response:
        query = options.pop("query", {})
        return self.gateway.request("PUT", self.address(path, **query), data=content, **options)

    def delete(self, path: str | bytes, **query: object) -> requests.Response:
        return self.gateway.delete(self.address(path, **query))

    def post(self, rest: str, **body: Any) -> requests.Response:
        return self.gateway.post(f"{self.base}/{rest}", json=body)

    def read(self, path: str | bytes) -> bytes:
        """A file's bytes."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.content

    def stat(self, path: str | bytes) -> dict[str, Any]:
        answer = self.get(path, "/stat")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def names(self, path: str, **query: object) -> list[str]:
        """Paths in a directory, as the list has them."""
        answer = self.get(path, "/list", query=query)
        assert answer.status_code == 200, answer.text
        return [entry["path"] for entry in answer.json()]

    def shell(self, command: str) -> str:
        """What a command writes that must succeed."""
        result = result_of(self.gateway, self.sandbox_id, command)
        assert result["returncode"] == 0, result
        return result["output"]


def code_of(answer: requests.Response, status: int) -> str:
    """The code of a problem that must have this status."""
    return problem_of(answer, status)["code"]
