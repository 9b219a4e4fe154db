"""Where commands run, and at whose cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Place(Protocol):
    """Where commands run. A lease is one."""

    @property
    def sandbox_id(self) -> str: ...

    @property
    def container_id(self) -> str: ...

    @property
    def owner(self) -> str:
        """Against whose share it counts what is held for whoever asked: the name of the key or,
        where there are none, the sandbox itself."""


@dataclass(frozen=True)
class PlaceOfUser:
    """A place where commands run as another than the sandbox's user: `container_id` is the address
    of that one's agent (`gateway.link.users`)."""

    sandbox_id: str
    container_id: str
    owner: str
