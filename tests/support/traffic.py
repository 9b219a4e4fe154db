"""Clients that create and delete sandboxes all the time, and note what they were answered."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from http import HTTPStatus

import requests

from tests.support.gateway_process import GatewayProcess
from tests.support.problems import problem_of

PAUSE_S = 0.3


@dataclass(frozen=True)
class Answer:
    method: str
    status: int
    code: str
    """Of the problem document; "" where all went well."""
    took_s: float


class Traffic:
    """`clients` threads, each of which creates a sandbox, deletes it, and begins anew.

    A delete that fails is tried again until it succeeds; after `stop` nothing of it shall be left.
    """

    def __init__(self, gateway: GatewayProcess, clients: int = 2) -> None:
        self.answers: list[Answer] = []
        self.failures: list[Exception] = []
        self._gateway = gateway
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Wait until every client has deleted what it created. May be repeated."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        if self.failures:
            raise self.failures[0]

    def slowest(self) -> Answer:
        return max(self.answers, key=lambda answer: answer.took_s)

    def codes(self) -> set[str]:
        """Of all errors there were."""
        return {answer.code for answer in self.answers} - {""}

    def _run(self) -> None:
        try:
            while not self._stopping.wait(PAUSE_S):
                created = self._ask("POST", "/sandboxes", HTTPStatus.CREATED)
                if created is not None:
                    self._delete(created["sandbox_id"])
        except Exception as error:  # noqa: BLE001  # raised again in `stop`
            self.failures.append(error)

    def _delete(self, sandbox_id: str) -> None:
        wanted = {HTTPStatus.OK}
        while self._ask("DELETE", f"/sandboxes/{sandbox_id}", *wanted) is None:
            # The engine may have done it, and only the answer was lost.
            wanted.add(HTTPStatus.NOT_FOUND)
            time.sleep(PAUSE_S)

    def _ask(self, method: str, path: str, *wanted: HTTPStatus) -> dict | None:
        """The answer's body, None for a 503. Anything else is a failure."""
        started = time.monotonic()
        answer: requests.Response = self._gateway.request(method, path)
        took_s = time.monotonic() - started
        if answer.status_code in wanted:
            self.answers.append(Answer(method, answer.status_code, "", took_s))
            return answer.json()
        code = problem_of(answer, HTTPStatus.SERVICE_UNAVAILABLE)["code"]
        self.answers.append(Answer(method, answer.status_code, code, took_s))
        return None
