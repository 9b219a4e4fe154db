"""Whose agent is meant: each user's in a sandbox has an address of its own.

In every sandbox runs the agent of its user. In one with root, root's runs beside it: only a process
of the same user may look at processes, signal them and read their descriptors (ptrace(2), proc(5)),
so each agent has the commands of its own user.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

from gateway.errors import UserUnavailable

User = Literal["user", "root"]

_ROOT = "+root"
"""No container's id ends so."""

REMEMBERED = 10_000


def roots(container_id: str) -> str:
    """The address of root's agent in a container; that of its user's is the container's id."""
    return container_id + _ROOT


def parsed(address: str) -> tuple[str, bool]:
    """The container's id, and whether root's agent is meant."""
    container_id = address.removesuffix(_ROOT)
    return container_id, container_id != address


class Users:
    """Knows which sandboxes have root. `has_root` looks it up by the container's id, and may raise
    the engine's errors; as it never changes, it is asked once."""

    def __init__(self, has_root: Callable[[str], bool]) -> None:
        self._look_up = has_root
        self._known: OrderedDict[str, bool] = OrderedDict()

    def has_root(self, container_id: str) -> bool:
        """Whether root's agent runs in a container."""
        if container_id not in self._known:
            self._known[container_id] = self._look_up(container_id)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return self._known[container_id]

    def address(self, container_id: str, user: User) -> str:
        """Where the agent of a user is. Raises UserUnavailable for root where there is none."""
        if user == "user":
            return container_id
        if not self.has_root(container_id):
            raise UserUnavailable(
                "the sandbox has no root: only a create with `root`, where the operator allows it, "
                "makes one that has"
            )
        return roots(container_id)

    def addresses(self, container_id: str) -> list[str]:
        """Of all agents in a container, its user's first."""
        root = [roots(container_id)] if self.has_root(container_id) else []
        return [container_id, *root]


ONLY_THE_USER = Users(lambda _container_id: False)
"""Of sandboxes without root."""
