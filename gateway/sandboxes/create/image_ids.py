"""What the names of images stand for: names move on to other images when those are built anew."""

from __future__ import annotations

import logging

import gevent

from gateway import clock
from gateway.engine.interface import Engine
from gateway.errors import GatewayError, ImageMissing

log = logging.getLogger(__name__)

KNOWN_S = 5.0
"""So long an answer of the engine is taken for true."""

ASK_AFTER_S = 1.0
"""After an answer that may be outdated was given out, the engine is asked: not at once, for
whoever was answered is about to use the engine or a sandbox."""


class ImageIds:
    """Asks the engine no more often than needed. None stands for an image that does not exist.

    Everything raises the engine's errors.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[str, tuple[str, float]] = {}
        self._asking: set[str] = set()

    def now(self, image: str) -> str | None:
        """The id, at most KNOWN_S old."""
        known, asked_at = self._known.get(image, ("", -KNOWN_S))
        if clock.boot_s() - asked_at < KNOWN_S:
            return known
        try:
            known = self._engine.image_id(image)
        except ImageMissing:
            self._known.pop(image, None)
            return None
        self._known[image] = (known, clock.boot_s())
        return known

    def last(self, image: str) -> str | None:
        """The id as it was known last, at no cost; only the first call asks the engine, which
        takes 2 to 3 ms."""
        if image not in self._known:
            return self.now(image)
        known, asked_at = self._known[image]
        if clock.boot_s() - asked_at >= KNOWN_S and image not in self._asking:
            self._asking.add(image)
            gevent.spawn_later(ASK_AFTER_S, self._ask_again, image)
        return known

    def _ask_again(self, image: str) -> None:
        try:
            self.now(image)
        except GatewayError as error:
            log.debug("cannot ask for image %s: %s", image, error)
        finally:
            self._asking.discard(image)
