"""How soon a container's agent is dialled again when its links do not last."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

FREE = 10
"""So many in a row may fail or break early without a wait: accidents come in crowds."""

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0
STEADY_S = 5.0
"""A link that has lasted for so long is no failure, however it ends."""

REMEMBERED = 4096


@dataclass
class _Tries:
    in_row: int = 0
    last_at: float = 0.0


class Redial:
    """Counts, by container, the dials in a row whose links did not last. It outlives who uses the
    container: an agent that closes each link is asked by many, one after the other."""

    def __init__(self) -> None:
        self._tries: OrderedDict[str, _Tries] = OrderedDict()

    def wait_s(self, container_id: str) -> float:
        """Seconds until the next dial."""
        tries = self._tries.get(container_id)
        if tries is None or tries.in_row < FREE:
            return 0.0
        # Not beyond what a float can hold.
        wait: float = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(tries.in_row - FREE, 16))
        return max(0.0, tries.last_at + wait - time.monotonic())

    def dialled(self, container_id: str) -> None:
        """It was tried, and nothing is known yet about how that went."""
        now = time.monotonic()
        tries = self._tries.setdefault(container_id, _Tries())
        self._tries.move_to_end(container_id)
        while len(self._tries) > REMEMBERED:
            self._tries.popitem(last=False)
        if now - tries.last_at > LONGEST_WAIT_S + STEADY_S:
            tries.in_row = 0
        tries.in_row += 1
        tries.last_at = now

    def lasted(self, container_id: str) -> None:
        """The last link was good, or what went wrong was no fault of the agent's."""
        self._tries.pop(container_id, None)
