"""`contexts`: code in a warm context, and a new context that imports pandas."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import requests

from .client import TIMEOUT_S, BenchmarkFailed
from .gateway import Gateways
from .rounds import Series, Subject, measure
from .targets import Target

TARGETS = (
    Target("warm", None, "at most", 15.0),
    Target("new", None, "at most", 80.0),
    Target("warm", "command"),
)

SETTINGS = {
    "SANDBOX_TEMPLATES": "code-interpreter",
    "SANDBOX_POOL_IMAGES": "code-interpreter",
    "SANDBOX_POOL_SIZE": "1",
}
"""Of the gateway that is measured; one that runs already needs the first of them."""

WARM_UP = 20


def run(
    gateways: Gateways, rounds: int, samples: int, say: Callable[[str], None]
) -> dict[str, Series]:
    """Measure all over REST, on one connection to one sandbox. Raises BenchmarkFailed."""
    with closing(requests.Session()) as session:
        session.trust_env = False
        created = _asked(
            session, "POST", f"{gateways.measured}/sandboxes", image="code-interpreter"
        )
        sandbox = f"{gateways.measured}/sandboxes/{created['sandbox_id']}"
        try:
            return measure(_subjects(session, sandbox, samples), rounds, say)
        finally:
            session.delete(sandbox, timeout=TIMEOUT_S)


def _subjects(session: requests.Session, sandbox: str, samples: int) -> list[Subject]:
    contexts = f"{sandbox}/contexts"

    def warm() -> None:
        result = _asked(session, "POST", f"{contexts}/default/execute", code="1+1")
        if result["results"] != [{"text/plain": "2"}]:
            raise BenchmarkFailed(f"1+1 was {result}")

    def new() -> str:
        made: str = _asked(session, "POST", contexts)["context_id"]
        result = _asked(session, "POST", f"{contexts}/{made}/execute", code="import pandas")
        if result["error"]:
            raise BenchmarkFailed(f"no pandas: {result}")
        return made

    def command() -> None:
        _asked(session, "POST", f"{sandbox}/commands", command="true")

    def each_new(count: int) -> list[float]:
        taken = []
        for _ in range(count):
            began = time.perf_counter()
            made = new()
            taken.append(time.perf_counter() - began)
            session.delete(f"{contexts}/{made}", timeout=TIMEOUT_S)
        return taken

    _timed(warm, WARM_UP)
    _timed(command, WARM_UP)
    return [
        Subject("warm", "1+1 in a context that runs", lambda n: _timed(warm, n), samples),
        Subject("new", "a new context, and `import pandas` in it", each_new, max(1, samples // 5)),
        Subject("command", "`true`, over REST too", lambda n: _timed(command, n), samples),
    ]


def _timed(work: Callable[[], None], count: int) -> list[float]:
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return taken


def _asked(session: requests.Session, method: str, url: str, **body: Any) -> dict[str, Any]:
    try:
        answer = session.request(method, url, json=body, timeout=TIMEOUT_S)
    except requests.RequestException as error:
        raise BenchmarkFailed(f"no answer from {url}: {error}") from error
    if not answer.ok:
        raise BenchmarkFailed(f"{url}: {answer.status_code} {answer.text:.500}")
    told: dict[str, Any] = answer.json()
    return told
