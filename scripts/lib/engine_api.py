"""Ask the Docker Engine a question without the docker SDK or a command-line client.

A start with everything in place must not spend its time on imports: this needs the standard
library only and answers in milliseconds. As a script: `engine_api.py ping` or `engine_api.py
address`; the exit status is one of those below, the reason is one line on standard output.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

NO_ENGINE = 10
NOT_ALLOWED = 11

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"


class EngineAbsent(Exception):
    """Nobody answers at the engine's address."""

    status = NO_ENGINE


class EngineNotAllowed(EngineAbsent):
    """The engine's socket is there, and this user may not use it."""

    status = NOT_ALLOWED


def engine_address() -> str:
    """DOCKER_HOST, else the address of the chosen docker context, else the usual socket."""
    return os.environ.get("DOCKER_HOST") or _context_address() or DEFAULT_ADDRESS


def _context_address() -> str | None:
    """The address of `docker context use …` (rootless and desktop engines are chosen that way).

    Only local sockets: for contexts with certificates the SDK has no use either.
    """
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        name = os.environ.get("DOCKER_CONTEXT") or json.loads(
            (folder / "config.json").read_text()
        ).get("currentContext")
        digest = hashlib.sha256((name or "").encode()).hexdigest()
        meta = json.loads((folder / "contexts" / "meta" / digest / "meta.json").read_text())
        address = str(meta["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return address if address.startswith("unix://") else None


def get(path: str, *, timeout_s: int = 5) -> tuple[int, Any]:
    """Status and decoded body of `GET path`. Raises EngineAbsent."""
    address = engine_address()
    url = urlsplit(address)
    if url.scheme == "ssh" or os.environ.get("DOCKER_TLS_VERIFY"):
        return _get_by_sdk(path, timeout_s)
    connection = http.client.HTTPConnection(url.hostname or "localhost", url.port or 2375)
    try:
        if url.scheme == "unix":
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(timeout_s)
            connection.sock.connect(url.path)
        else:
            connection.timeout = timeout_s
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    except PermissionError as error:
        raise EngineNotAllowed(f"{address}: {error.strerror}") from error
    except (OSError, http.client.HTTPException) as error:
        raise EngineAbsent(f"{address}: {error}") from error
    finally:
        connection.close()
    try:
        return answer.status, json.loads(body)
    except ValueError:
        return answer.status, body.decode(errors="replace")


def _get_by_sdk(path: str, timeout_s: int) -> tuple[int, Any]:
    """Certificates and ssh are the SDK's business; it costs some 200 ms to import."""
    import docker
    import requests

    try:
        api = docker.from_env(timeout=timeout_s).api
        answer = api.get(f"{api.base_url}{path}", timeout=timeout_s)
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise EngineAbsent(f"{engine_address()}: {error}") from error
    return answer.status_code, (answer.json() if path != "/_ping" else answer.text)


def ping() -> None:
    """Raises EngineAbsent when no engine answers."""
    status, body = get("/_ping")
    if status != 200:
        raise EngineAbsent(f"{engine_address()} answers with status {status}: {body!s:.200}")


def image(name: str) -> dict[str, Any] | None:
    """What the engine knows about an image; None when it has none of that name."""
    status, body = get(f"/images/{quote(name, safe='/:@')}/json")
    if status == 404:
        return None
    if status != 200 or not isinstance(body, dict):
        raise EngineAbsent(f"{engine_address()} answers with status {status}: {body!s:.200}")
    return body


def main() -> int:
    try:
        if sys.argv[1:] == ["address"]:
            print(engine_address())
        elif sys.argv[1:] == ["ping"]:
            ping()
        else:
            print("usage: engine_api.py ping|address", file=sys.stderr)
            return 2
    except EngineAbsent as error:
        print(error)
        return error.status
    return 0


if __name__ == "__main__":
    sys.exit(main())
