"""Whether sandboxes can be served: engine, image, store, and the posture that is required."""

from __future__ import annotations

from collections.abc import Callable

import gevent

from gateway.engine.interface import Engine
from gateway.errors import GatewayError, ImageMissing
from gateway.models import Check, PostureCheck
from gateway.sandboxes.posture import Posture
from gateway.store.sandboxes import SandboxStore

LIMIT_S = 5.0
"""A check that takes longer has failed, whatever time an engine is given otherwise."""


class Readiness:
    """Asks each part anew at every call."""

    def __init__(self, engine: Engine, store: SandboxStore, image: str, posture: Posture) -> None:
        self._engine = engine
        self._posture = posture
        self._store = store
        self._image = image

    def look(self) -> tuple[dict[str, Check], dict[str, PostureCheck]]:
        """Each thing that must work, and the host's posture, by name; all are asked at the same
        time. What is required of the posture is one of the things that must work."""
        looking = gevent.spawn(self._posture.checks)
        asked = {
            "engine": gevent.spawn(_check, self._engine.version),
            "image": gevent.spawn(_check, self._find_image),
            "store": gevent.spawn(_check, self._read_store),
        }
        gevent.joinall([looking, *asked.values()])
        checks = {name: greenlet.get() for name, greenlet in asked.items()}
        posture: dict[str, PostureCheck] = looking.get()
        unmet = self._posture.unmet(posture)
        if unmet:
            checks["posture"] = Check(ok=False, detail=f"SANDBOX_REQUIRE: {', '.join(unmet)}")
        return checks, posture

    def _find_image(self) -> str:
        if not self._engine.has_image(self._image):
            raise ImageMissing(
                f"{self._image} does not exist; scripts/build_image.sh makes the default one"
            )
        return self._image

    def _read_store(self) -> str:
        return f"{len(self._store.live())} sandboxes"


def _check(ask: Callable[[], str]) -> Check:
    try:
        with gevent.Timeout(LIMIT_S, TimeoutError(f"no answer within {LIMIT_S:g} s")):
            return Check(ok=True, detail=ask())
    except (GatewayError, TimeoutError) as error:
        return Check(ok=False, detail=str(error))
