"""Whether sandboxes can be served: engine, image, store, and the posture that is required."""

from __future__ import annotations

from collections.abc import Callable

import gevent

from gateway.engine.interface import Engine
from gateway.errors import GatewayError, ImageMissing
from gateway.health.posture import Posture
from gateway.health.recent_answer import Recent
from gateway.schemas.models import Check, PostureCheck
from gateway.store.sandboxes import SandboxStore

LIMIT_S = 5.0
"""A check that takes longer has failed, whatever time an engine is given otherwise."""

READY_S = 1.0
"""How long it counts that all works. Each look asks the engine three times and reads the store: six
clients that asked all the time raised others' answers from 8 to 105 ms (p50)."""

NOT_READY_S = 0.2
"""How long it counts that something does not: whoever waits for it shall not wait long."""

POSTURE_S = 10.0
"""How long the posture counts; where it keeps the gateway from being ready, only NOT_READY_S. A
host seldom changes, and asking for its versions costs the engine most."""

Checks = dict[str, Check]
Postures = dict[str, PostureCheck]


class Readiness:
    """Looks at each part, but at most once a second, for all who ask."""

    def __init__(self, engine: Engine, store: SandboxStore, image: str, posture: Posture) -> None:
        self._engine = engine
        self._posture = posture
        self._store = store
        self._image = image
        self._recent_posture: Recent[Postures] = Recent(
            posture.checks,
            lambda found: NOT_READY_S if self._posture.unmet(found) else POSTURE_S,
        )
        self._recent: Recent[tuple[Checks, Postures]] = Recent(
            self._look_at_all,
            lambda found: READY_S if all(check.ok for check in found[0].values()) else NOT_READY_S,
        )

    def look(self) -> tuple[Checks, Postures]:
        """Each thing that must work, and the host's posture, by name, as it was a moment ago. What
        is required of the posture is one of the things that must work."""
        return self._recent.get()

    def _look_at_all(self) -> tuple[Checks, Postures]:
        """All are asked at the same time."""
        looking = gevent.spawn(self._recent_posture.get)
        asked = {
            "engine": gevent.spawn(_check, self._engine.version),
            "image": gevent.spawn(_check, self._find_image),
            "store": gevent.spawn(_check, self._read_store),
        }
        gevent.joinall([looking, *asked.values()])
        checks = {name: greenlet.get() for name, greenlet in asked.items()}
        posture: Postures = looking.get()
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
