"""Run one command in a sandbox, by whichever way the sandbox offers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.commands.budget import OutputBudget
from gateway.commands.linked import run_linked
from gateway.commands.plain import PlainRunner
from gateway.commands.result import result_of
from gateway.errors import AgentMissing
from gateway.link.links import Links
from gateway.models import CommandResult


class Commands:
    """Runs commands. One per process; greenlets share it."""

    def __init__(
        self, links: Links, plain: PlainRunner, budget: OutputBudget, max_output_bytes: int
    ) -> None:
        self._links = links
        self._plain = plain
        self._budget = budget
        self._cap = max_output_bytes

    @contextmanager
    def run(self, container_id: str, command: str, request_id: str) -> Iterator[CommandResult]:
        """Run `command` and give its result; send it within the block, while it is accounted for.

        Raises ContainerGone, CommandLost, AgentUnavailable, TooManyCommands, the engine's errors.
        """
        try:
            self._links.get(container_id)
        except AgentMissing:
            with self._plain.run(container_id, command, self._cap) as outcome:
                yield result_of(command, request_id, outcome)
            return
        with run_linked(
            self._links, self._budget, container_id, command, request_id, self._cap
        ) as outcome:
            yield result_of(command, request_id, outcome)

    @contextmanager
    def using(self, container_id: str) -> Iterator[None]:
        """Keep what running commands in this container needs ready, as long as inside."""
        with self._links.using(container_id):
            yield

    def warm_up(self, container_id: str) -> None:
        """Make the link now, so that the first command need not wait for it. Only in `using`.

        Raises ContainerGone, AgentUnavailable, the engine's errors.
        """
        try:
            self._links.get(container_id)
        except AgentMissing:
            self._plain.warm_up(container_id)
