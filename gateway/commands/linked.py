"""Run a command over the link to the sandbox's agent."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from gateway.commands.budget import OutputBudget
from gateway.commands.result import Outcome
from gateway.errors import CommandLost, LinkLost
from gateway.link.collector import Collector
from gateway.link.links import Links

MAX_LOSSES = 10
"""Of links during one command. More is not an accident but an agent that does not want to."""


@contextmanager
def run_linked(
    links: Links, budget: OutputBudget, container_id: str, command: str, request_id: str, cap: int
) -> Iterator[Outcome]:
    """Run `command` to its end; within the block its outcome counts against `budget`.

    When the link breaks it is made anew and the command, which goes on meanwhile, is read further.
    Raises AgentMissing before anything was started, CommandLost when the agent that ran the
    command is gone, and whatever `Links.get` raises.
    """
    collector = Collector(uuid.uuid4().hex, request_id, command, cap)
    daemon: str | None = None
    losses = 0
    with ExitStack() as held:
        while True:
            link = links.get(container_id)
            if daemon not in (None, link.daemon):
                raise CommandLost("the agent that ran the command was killed")
            daemon = link.daemon
            number = None
            try:
                number = link.open(collector, collector.message())
                to_grant = collector.wait_exit()
                if to_grant:
                    held.pop_all().close()
                    held.enter_context(budget.hold(sum(to_grant.values())))
                for stream, size in to_grant.items():
                    link.grant(number, stream, size)
                collector.wait_complete()
                link.forget(number)
                break
            except LinkLost:
                losses += 1
                if losses > MAX_LOSSES:
                    raise CommandLost("the link broke again and again") from None
            finally:
                if number is not None:
                    link.cancel(number)
        yield _outcome(collector)


def _outcome(collector: Collector) -> Outcome:
    collected = collector.collected()
    return Outcome(collected.returncode, collected.sizes, collected.pieces, collected.failure)
