"""Make a new sandbox ready for commands, or find out that it does not run."""

from __future__ import annotations

from gateway.commands.run_and_steer import Commands
from gateway.engine.interface import Engine
from gateway.errors import ContainerGone
from gateway.link.dial import Dialler
from gateway.link.links import Links
from gateway.use.sandbox_use import LINK_KEPT_S


class Readying:
    """For whoever creates sandboxes. The link stays a while for the first command."""

    def __init__(self, commands: Commands, links: Links, dialler: Dialler, engine: Engine) -> None:
        self._commands = commands
        self._links = links
        self._dialler = dialler
        self._engine = engine

    def warm(self, container_id: str) -> None:
        """Start the agent in a container, if its image can run one. Raises what
        `Commands.warm_up` does."""
        with self._commands.using(container_id, LINK_KEPT_S):
            self._commands.warm_up(container_id)

    def probe(self, container_id: str, has_new_limits: bool) -> None:
        """Make sure that a container runs. Raises ContainerGone, and what `Commands.make_sure`
        does.

        An answer over its link proves it, and whoever created the sandbox will want the link in a
        moment.
        """
        if has_new_limits:
            self._links.drop(container_id)  # agents are told their limits at the beginning of one
        if self._links.alive(container_id) or self._dialler.goes_directly():
            with self._commands.using(container_id, LINK_KEPT_S):
                self._commands.make_sure(container_id)
        elif self._engine.inspect(container_id).state != "running":
            raise ContainerGone(f"container {container_id:.12} does not run")
