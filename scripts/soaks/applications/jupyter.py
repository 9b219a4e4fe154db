"""Jupyter's server with a kernel that is driven over its WebSocket, by path and by host."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
import websocket
from benchmarks.client import BenchmarkFailed

from .sandbox import Sandbox, fetched

PORT = 8888
TOKEN = uuid.uuid4().hex
PACKAGES = ("jupyter_server", "ipykernel", "flask")
KERNEL_S = 60.0

CODE = "import sys; print(sum(range(101)), end=''); print('to stderr', file=sys.stderr); 6 * 7"


def seconds(sandbox: Sandbox, directory: Path, say: Callable[[str], None]) -> dict[str, float]:
    """How long it took to install and start it, and to run a cell, both ways. Raises
    BenchmarkFailed and what the clients raise."""
    wheels = directory / "wheels"
    if not wheels.exists():
        version = sandbox.run("python3 -c 'import platform; print(platform.python_version())'")
        _fetch(wheels, version.strip())
        say("jupyter: fetched")
    began = time.monotonic()
    sandbox.unpack("wheels", [(wheels, ".")])
    # They are compiled when they are used. A mirror may not say what Python a package needs.
    sandbox.run(
        "python3 -m venv venv && venv/bin/pip install --no-compile -q --no-index "
        f"--ignore-requires-python --find-links wheels {' '.join(PACKAGES)} && rm -r wheels"
    )
    figures = {"jupyter: installed from wheels": time.monotonic() - began}
    say("jupyter: installed")
    # Without a base_url: by path the gateway cuts its own part off (X-Forwarded-Prefix).
    figures["jupyter: started"] = sandbox.start(
        "exec venv/bin/jupyter server --ip=127.0.0.1 --no-browser --ServerApp.port_retries=0 "
        f"--IdentityProvider.token={TOKEN} --port={PORT} --ServerApp.allow_remote_access=True",
        PORT,
        "jupyter",
    )
    by_path = sandbox.path(PORT) + "/"
    figures["jupyter: a cell, by path"] = _cell(sandbox.gateway, by_path, sandbox.gateway)
    figures["jupyter: a cell, by host"] = _cell(sandbox.gateway, "/", sandbox.host(PORT))
    return figures


def _fetch(wheels: Path, python: str) -> None:
    pip = [sys.executable, "-m", "pip", "download", "-q", "-d", str(wheels)]
    fetched([*pip, "--python-version", python, "--only-binary=:all:", *PACKAGES], wheels.parent)


def _cell(address: str, base: str, host: str) -> float:
    """Start a kernel, run a cell in it and stop it. `base` is what stands before `api`. Jupyter's
    own header would not come through by path, where it is the gateway's: so the token is in the
    query there and here."""
    session = requests.Session()
    session.headers["Host"] = host
    session.params = {"token": TOKEN}
    answer = session.post(f"http://{address}{base}api/kernels", json={}, timeout=30)
    if answer.status_code != 201:
        raise BenchmarkFailed(f"no kernel: {answer.status_code} {answer.text[:500]}")
    kernel = answer.json()["id"]
    url = f"ws://{address}{base}api/kernels/{kernel}/channels?token={TOKEN}"
    # No browser: it has no origin, and that of `url` would be a foreign one by host.
    options = {"host": host, "suppress_origin": True}
    client = websocket.create_connection(url, timeout=KERNEL_S, **options)
    try:
        _run(client, "1")  # the kernel is starting
        began = time.monotonic()
        found = _run(client, CODE)
        seconds = time.monotonic() - began
    finally:
        client.close()
    if found != {"stdout": "5050", "stderr": "to stderr\n", "result": "42"}:
        raise BenchmarkFailed(f"the cell said {found}")
    ended = session.delete(f"http://{address}{base}api/kernels/{kernel}", timeout=30)
    if ended.status_code != 204:
        raise BenchmarkFailed(f"the kernel was not stopped: {ended.status_code}")
    return seconds


def _run(client: websocket.WebSocket, code: str) -> dict[str, str]:
    """What a cell writes and what it is worth (Jupyter's messages, version 5.3)."""
    message_id = uuid.uuid4().hex
    header = {"msg_id": message_id, "msg_type": "execute_request", "username": "", "session": "s"}
    client.send(
        json.dumps(
            {
                "header": {**header, "version": "5.3"},
                "parent_header": {},
                "metadata": {},
                "channel": "shell",
                "content": {"code": code, "silent": False, "store_history": False},
            }
        )
    )
    found: dict[str, str] = {}
    is_replied = is_idle = False
    while not (is_replied and is_idle):
        message: dict[str, Any] = json.loads(client.recv())
        if message["parent_header"].get("msg_id") != message_id:
            continue
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "stream":
            found[content["name"]] = found.get(content["name"], "") + content["text"]
        elif kind == "execute_result":
            found["result"] = content["data"]["text/plain"]
        elif kind == "execute_reply":
            is_replied = True
        elif kind == "status":
            is_idle = is_idle or content["execution_state"] == "idle"
    return found
