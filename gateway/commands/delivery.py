"""How far a client has had a command's output: told to the agent, for whoever comes later.

Nobody waits for the answer. It is told every TOLD_S at most.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import gevent

from gateway.commands.agent_runner import call_with_retry
from gateway.errors import GatewayError
from gateway.link.ask import tell
from gateway.link.links import Links

log = logging.getLogger(__name__)

TOLD_S = 0.01

Offsets = tuple[int, int]
"""Of stdout and stderr."""


class Delivery:
    """One client's. Close it when the client has left or has had everything."""

    def __init__(self, links: Links, container_id: str, key: str, offsets: Offsets) -> None:
        self._links = links
        self._container_id = container_id
        self._key = key
        self._told = offsets
        self._wanted = offsets
        self._told_at = 0.0
        self._telling: gevent.Greenlet | None = None

    def up_to(self, offsets: Offsets) -> None:
        """The client has had the output so far; less than before is what it had not read when it
        was gone."""
        self._wanted = offsets
        if self._wanted == self._told or self._telling is not None:
            return
        wait_s = self._told_at + TOLD_S - time.monotonic()
        # At once if possible: a client that leaves and comes back does so within milliseconds, and
        # perhaps by another worker.
        if wait_s > 0 or not self._told_at_once():
            self._telling = gevent.spawn_later(max(0.0, wait_s), self._tell)

    def close(self) -> None:
        """What was not told yet is told now, and nobody waits for it."""
        telling, self._telling = self._telling, None
        if telling is not None and not telling.started:
            telling.kill(block=False)
        if self._wanted != self._told and not self._told_at_once():
            self._telling = gevent.spawn(self._tell)

    def _told_at_once(self) -> bool:
        """Tell without waiting for the answer; whether that could be done."""
        if not self._links.alive(self._container_id):
            return False
        try:
            link = self._links.get(self._container_id)
            tell(link, "delivered", **self._message(self._wanted))
        except GatewayError:
            return False
        self._told, self._told_at = self._wanted, time.monotonic()
        return True

    def _message(self, wanted: Offsets) -> dict[str, Any]:
        return {"key": self._key, "offsets": wanted, "instead_of": self._told}

    def _tell(self) -> None:
        try:
            with self._links.using(self._container_id):
                while self._wanted != self._told:
                    wanted = self._wanted
                    call_with_retry(
                        self._links,
                        self._container_id,
                        "delivered",
                        **self._message(wanted),
                    )
                    self._told = wanted
        except GatewayError as error:
            log.info("how far output was delivered is not known: %s", error)
        except Exception:
            log.exception("telling how far output was delivered failed")
        finally:
            self._told_at = time.monotonic()
            self._telling = None
