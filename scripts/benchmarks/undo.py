"""`undo`: what a checkpoint and the list of changes add to a command, and what going back takes.

Through the gateway, as a client sees it, in a small tree and beside 7,775 files.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial

import requests

from .client import TIMEOUT_S, BenchmarkFailed, CommandSocket, sandbox
from .gateway import Gateways
from .rounds import Series, Subject, measure
from .targets import Target

TARGETS: tuple[Target, ...] = ()

FILES = {"small": 10, "large": 7775}

WARM_UP = 10

_MAKE_TREE = """python3 -c '
import os
for number in range({count}):
    os.makedirs(f"tree/{{number % 100}}", exist_ok=True)
    with open(f"tree/{{number % 100}}/{{number}}", "wb") as file:
        file.write(bytes(1000))
'"""


def run(
    gateways: Gateways, rounds: int, samples: int, say: Callable[[str], None]
) -> dict[str, Series]:
    """`samples` of each per round; going back is done once per round. Raises BenchmarkFailed."""
    with ExitStack() as held:
        subjects = []
        for tree, count in FILES.items():
            box = _Sandbox(gateways.measured, held, count)
            subjects += [
                Subject(f"{tree}_plain", "`true`", box.plain, samples),
                Subject(f"{tree}_changes", "with its changes", box.with_changes, samples),
                Subject(f"{tree}_checkpoint", "with a checkpoint", box.with_checkpoint, samples),
                Subject(f"{tree}_list", "GET changes since a snapshot", box.listing, samples),
                Subject(f"{tree}_undo", "restore, up to the next result", box.undo, 1),
            ]
        return measure(subjects, rounds, say)


class _Sandbox:
    """With a tree of files, and a snapshot of it."""

    def __init__(self, url: str, held: ExitStack, count: int) -> None:
        self._url = url
        self._id = held.enter_context(sandbox(url))
        held.callback(self._forget)
        with closing(CommandSocket(url, self._id)) as commands:
            commands.run(_MAKE_TREE.format(count=count))
        self._session = requests.Session()
        self._kept = self._ask("POST", f"/sandboxes/{self._id}/snapshots").json()["snapshot_id"]
        self.plain(WARM_UP)

    def plain(self, count: int) -> list[float]:
        """A command that does nothing."""
        return self._commands(count)

    def with_changes(self, count: int) -> list[float]:
        """And says so."""
        return self._commands(count, changes=True)

    def with_checkpoint(self, count: int) -> list[float]:
        """And could be undone."""
        return self._commands(count, checkpoint=True)

    def listing(self, count: int) -> list[float]:
        """What has changed since the snapshot."""
        path = f"/sandboxes/{self._id}/changes?since={self._kept}"
        return [_timed(partial(self._ask, "GET", path)) for _ in range(count)]

    def undo(self, count: int) -> list[float]:
        """To the snapshot."""

        def there_and_back() -> None:
            self._ask("POST", f"/sandboxes/{self._id}/restore", {"snapshot": self._kept})
            self._ask("POST", f"/sandboxes/{self._id}/commands", {"command": "true"})

        return [_timed(there_and_back) for _ in range(count)]

    def _commands(self, count: int, **fields: bool) -> list[float]:
        with closing(CommandSocket(self._url, self._id)) as commands:
            return commands.time("true", count, **fields)

    def _ask(self, method: str, path: str, body: object = None) -> requests.Response:
        answer = self._session.request(method, self._url + path, json=body, timeout=TIMEOUT_S)
        if not answer.ok:
            raise BenchmarkFailed(f"{method} {path}: {answer.status_code} {answer.text:.300}")
        return answer

    def _forget(self) -> None:
        try:
            for one in self._ask("GET", f"/snapshots?sandbox_id={self._id}").json():
                self._ask("DELETE", f"/snapshots/{one['snapshot_id']}")
        except (BenchmarkFailed, requests.RequestException):
            pass  # what has gone wrong before is what people want to know


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
