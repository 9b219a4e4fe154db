"""How far a client has had a command's output: told to the agent, for whoever comes later.

It is told in a greenlet of its own, so that nobody waits for it, and as often as every TOLD_S.
"""

from __future__ import annotations

import logging
import time

import gevent

from gateway.commands.agent_runner import call_with_retry
from gateway.errors import GatewayError
from gateway.link.links import Links

log = logging.getLogger(__name__)

TOLD_S = 0.05

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
        was gone. Does not block."""
        self._wanted = offsets
        if self._wanted != self._told and self._telling is None:
            wait_s = max(0.0, self._told_at + TOLD_S - time.monotonic())
            self._telling = gevent.spawn_later(wait_s, self._tell)

    def close(self) -> None:
        """What was not told yet is told now. Does not block."""
        telling, self._telling = self._telling, None
        if telling is not None and not telling.started:
            telling.kill(block=False)
        if self._wanted != self._told:
            self._telling = gevent.spawn(self._tell)

    def _tell(self) -> None:
        try:
            with self._links.using(self._container_id):
                while self._wanted != self._told:
                    wanted = self._wanted
                    call_with_retry(
                        self._links,
                        self._container_id,
                        "delivered",
                        key=self._key,
                        offsets=wanted,
                        instead_of=self._told,
                    )
                    self._told = wanted
        except GatewayError as error:
            log.info("how far output was delivered is not known: %s", error)
        except Exception:
            log.exception("telling how far output was delivered failed")
        finally:
            self._told_at = time.monotonic()
            self._telling = None
